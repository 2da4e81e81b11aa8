/** Negative when `a` comes first; a beginning comes before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = commonStart(a, b);
  return shared < a.length && shared < b.length ? a[shared] - b[shared] : a.length - b.length;
}

/** How many bytes at their start two texts have in common. */
export function commonStart(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < most && a[shared] === b[shared]) shared++;
  return shared;
}
