import { tenTokens } from "../ten_tokens.js";

globalThis.tenTokens = tenTokens;
