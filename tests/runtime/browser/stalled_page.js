import { stalled } from "../stalled.js";

globalThis.stalled = stalled;
