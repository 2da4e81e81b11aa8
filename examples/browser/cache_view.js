/**
 * What a sequence's cache holds of each token, over the layers and heads that are looked at.
 *
 * @param {import("@locket/locket").Sequence} sequence
 * @param {number} nTokens Tokens of the conversation; the last of them may not have been read yet.
 * @param {{layer: number, head: number}} view Each from 0, or -1 for the mean of all.
 * @returns {{scores: number[], kept: number[], read: number}} By token: the mean score, as a share of each head's
 * highest; the share of heads that hold it. And how many tokens have been read.
 */
export function viewCache(sequence, nTokens, { layer, head }) {
  const read = Math.min(nTokens, sequence.position);
  const scores = new Array(nTokens).fill(0);
  const contents = sequence.cacheContents();
  // without a policy everything stays, and nothing is scored
  const kept = new Array(nTokens).fill(contents.length === 0 ? 1 : 0);
  const layers = layer < 0 ? contents : contents.slice(layer, layer + 1);
  const heads = layers.flatMap((heads) => head < 0 ? heads : heads.slice(head, head + 1));
  for (const { positions, scores: given } of heads) {
    const most = Math.max(...given.filter(Number.isFinite), 1e-30);
    positions.forEach((position, i) => {
      kept[position] += 1 / heads.length;
      const score = given.length === 0 ? 1 : Math.min(1, Math.max(0, given[i] / most));
      scores[position] += score / heads.length;
    });
  }
  return { scores, kept, read };
}
