import { stalled } from "../stalled.js";

export default {
  async fetch(request) {
    return new Response(await stalled(new URL(request.url).searchParams.get("url")));
  },
};
