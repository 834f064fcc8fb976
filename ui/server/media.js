import { contentPath } from "./api.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./types.js").Variant} Variant */
/** @typedef {import("./types.js").Video} Video */
/** @typedef {{url: string, name: string}} MediaFile `name` is what a download is saved as */

// A few screens of posters, and some videos of a few megabytes each.
const MAX_COPIES = { thumbnail: 300, video: 12, spritesheet: 12, preview: 12 };

/**
 * URLs of files for `img` and `video`. These elements can't send an API key: with one, the file is
 * fetched here, and the URL is that of a copy in memory. So are previews, which change under one URL.
 */
export class Media {
  /** @type {Map<string, {variant: Variant, file: Promise<MediaFile>}>} least recently used first */
  #copies = new Map();

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
  }

  /** @param {string} id @param {Variant} variant @returns {Promise<string>} */
  async url(id, variant) {
    return (await this.file(id, variant)).url;
  }

  /** @param {string} id @param {Variant} variant @returns {Promise<MediaFile>} */
  async file(id, variant) {
    const path = contentPath(id, variant);
    // Without a name, the browser takes that of the response.
    if (!this.api.session.signedIn) return { url: path, name: "" };
    return this.#copy(id, variant, path);
  }

  /** The newest preview of a video that has one. @param {Video} video @returns {Promise<string>} */
  async preview({ id, attempt, preview }) {
    return (await this.#copy(id, "preview", `${contentPath(id, "preview")}#${attempt}-${preview}`)).url;
  }

  /** @param {string} id @param {Variant} variant @param {string} key of the copy @returns {Promise<MediaFile>} */
  #copy(id, variant, key) {
    const copy = this.#copies.get(key) ?? { variant, file: this.#fetch(id, variant, key) };
    this.#copies.delete(key);
    this.#copies.set(key, copy);
    this.#evict(variant);
    return copy.file;
  }

  /** @param {string} id @param {Variant} variant @param {string} key of the copy */
  async #fetch(id, variant, key) {
    try {
      const file = await this.api.content(id, variant);
      return { url: URL.createObjectURL(file), name: file.name };
    } catch (error) {
      this.#copies.delete(key);
      throw error;
    }
  }

  /** @param {Variant} variant */
  #evict(variant) {
    const paths = [...this.#copies].filter(([, copy]) => copy.variant === variant);
    for (const [path, copy] of paths.slice(0, Math.max(0, paths.length - MAX_COPIES[variant]))) {
      this.#copies.delete(path);
      copy.file.then(({ url }) => URL.revokeObjectURL(url), () => {});
    }
  }
}
