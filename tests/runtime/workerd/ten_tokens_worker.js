import model from "./model.gguf";
import { tenTokens } from "../ten_tokens.js";

export default {
  async fetch() {
    return Response.json(await tenTokens(model));
  },
};
