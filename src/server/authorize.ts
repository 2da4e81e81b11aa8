import { ApiError } from "./api_error.ts";

/**
 * Lets a request pass that brings one of the keys. The time it takes tells nothing about them: digests are compared, all
 * of each and each of them.
 *
 * @throws {ApiError} 401.
 */
export async function authorize(request: Request, keys: readonly string[]): Promise<void> {
  const given = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  const found = await digest(given ?? "");
  let matches = 0;
  for (const key of keys) {
    const wanted = await digest(key);
    let difference = 0;
    for (let i = 0; i < wanted.length; i++) difference |= wanted[i] ^ found[i];
    matches |= difference === 0 ? 1 : 0;
  }
  if (given !== undefined && matches === 1) return;
  throw new ApiError(401, "The API key is missing or wrong", "invalid_api_key");
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
