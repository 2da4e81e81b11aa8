/**
 * Models that are fetched once: from the network into a store while they load, out of the store from then on.
 *
 * @module
 */
import { OptionError } from "../../error.ts";
import type { Source, SourceFile } from "../../gguf/source.ts";
import { checkedFile } from "../checked_file.ts";
import { expectedFiles, type SourceOptions } from "../source_options.ts";
import { splitName } from "../split_name.ts";
import { urlFile } from "../url_file.ts";
import { CachedFile, type CachedFileReport } from "./cached_file.ts";
import type { ModelStore } from "./model_store.ts";

/** A model behind a URL with a store before it; an input for `loadModel`. */
export class CachedSource implements Source {
  readonly name: string;
  readonly count = undefined;
  readonly #files: CachedFile[] = [];
  readonly #open: (index: number) => CachedFile;

  /** Use {@link cachedSource}. */
  constructor(url: URL, store: ModelStore, options: SourceOptions) {
    this.name = url.href;
    const expected = expectedFiles(options);
    this.#open = (index) => {
      const sibling = new URL(url);
      sibling.pathname = splitName(url.pathname, index);
      return new CachedFile(store, sibling, checkedFile(urlFile(sibling, options), expected(index)));
    };
  }

  file(index: number): SourceFile {
    return this.#files[index] ??= this.#open(index);
  }

  /** Where the bytes came from, file by file: one, unless the model is split. */
  get files(): readonly CachedFileReport[] {
    return this.#files.map(({ report }) => report);
  }

  /** Takes the model out of the store. For a split one: the files that were read by this source. */
  async forget(): Promise<void> {
    this.file(0);
    for (const file of this.#files) await file.forget();
  }
}

/**
 * A model that streams from the network while it fills the store, and comes out of the store the next time, without a
 * connection. An entry counts only when its manifest is there, which is written last; every 4 MiB are checked against
 * their SHA-256 before they are used, and fetched again when they are damaged or gone. A store that fails or is full
 * costs nothing but the next download: see {@link CachedSource.files}.
 *
 * @param url Of a GGUF file, or of the first of a split model. Its entry stays until `forget`, whatever the server has.
 * @param options Size and digest, where they are given, are of the download: what differs is never stored.
 * @throws {OptionError} When `url` is none of HTTP, or a digest no SHA-256.
 *
 * @example
 * ```ts ignore
 * const source = cachedSource("https://example.com/smollm2-135m-q4_0.gguf", await opfsStore());
 * const model = await loadModel(source);
 * source.files[0].fromStore; // 0 the first time, all bytes the second
 * ```
 */
export function cachedSource(
  url: string | URL,
  store: ModelStore,
  options: SourceOptions = {},
): CachedSource {
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new OptionError("url", String(url), "an absolute URL of HTTP or HTTPS");
  }
  return new CachedSource(parsed, store, options);
}
