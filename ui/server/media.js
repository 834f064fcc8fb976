import { contentPath } from "./api.js";

/** @typedef {import("./api.js").Api} Api */
/** @typedef {import("./types.js").Variant} Variant */

// A few screens of posters, and some videos of a few megabytes each.
const MAX_COPIES = { thumbnail: 300, video: 12, spritesheet: 12 };

/**
 * URLs of files for `img` and `video`. These elements can't send an API key: with one, the file is
 * fetched here, and the URL is that of a copy in memory.
 */
export class Media {
  /** @type {Map<string, {variant: Variant, url: Promise<string>}>} least recently used first */
  #copies = new Map();

  /** @param {Api} api */
  constructor(api) {
    this.api = api;
  }

  /** @param {string} id @param {Variant} variant @returns {Promise<string>} */
  async url(id, variant) {
    const path = contentPath(id, variant);
    if (!this.api.session.signedIn) return path;
    const copy = this.#copies.get(path) ?? { variant, url: this.#fetch(id, variant, path) };
    this.#copies.delete(path);
    this.#copies.set(path, copy);
    this.#evict(variant);
    return copy.url;
  }

  /** @param {string} id @param {Variant} variant @param {string} path */
  async #fetch(id, variant, path) {
    try {
      return URL.createObjectURL(await this.api.content(id, variant));
    } catch (error) {
      this.#copies.delete(path);
      throw error;
    }
  }

  /** @param {Variant} variant */
  #evict(variant) {
    const paths = [...this.#copies].filter(([, copy]) => copy.variant === variant);
    for (const [path, copy] of paths.slice(0, Math.max(0, paths.length - MAX_COPIES[variant]))) {
      this.#copies.delete(path);
      copy.url.then((url) => URL.revokeObjectURL(url), () => {});
    }
  }
}
