/**
 * A model for the AI SDK, without HTTP.
 *
 * @module
 */
export { locket, type LocketLanguageModel, type LocketOptions } from "../server/ai_sdk.ts";
