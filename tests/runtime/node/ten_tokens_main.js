import process from "node:process";
import { tenTokens } from "./ten_tokens.js";

console.log(JSON.stringify(await tenTokens(process.argv[2])));
