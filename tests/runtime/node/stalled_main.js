import process from "node:process";
import { stalled } from "./stalled.js";

console.log(await stalled(process.argv[2]));
