import { backoffMs } from "./backoff.js";

/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Video} Video */
/** @typedef {import("./types.js").VideoPage} VideoPage */
/** @typedef {import("./types.js").VideoRequest} VideoRequest */
/** @typedef {import("./types.js").Variant} Variant */
/** @typedef {import("./session.js").Session} Session */

// Longer than the 5 s for which the server itself retries before it responds with 503.
const TIMEOUT_MS = 15_000;

/** A request that was refused, or that got no response (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{message?: string, param?: string | null, code?: string | null}} error
   * @param {number} [retryAfterSeconds]
   */
  constructor(status, error, retryAfterSeconds = 0) {
    super(error.message || `The server responded with ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.param = error.param ?? null;
    this.code = error.code ?? null;
    this.retryAfterMs = retryAfterSeconds * 1000;
  }

  /** Whether a retry can succeed: the outcome is unknown, or the server may accept the request later. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** Whether the server is down: no response, or only the gateway's error for a service behind it. */
  get unreachable() {
    return this.status === 0 || this.status === 502 || this.status === 503;
  }
}

/** The HTTP API, called with this browser's key. Every method rejects with an `ApiError`. */
export class Api {
  /**
   * @param {Session} session
   * @param {(path: string) => Promise<Response> | undefined} [takePrefetched] responses already requested
   */
  constructor(session, takePrefetched = () => undefined) {
    this.session = session;
    this.takePrefetched = takePrefetched;
  }

  /** @returns {Promise<Model>} */
  async model() {
    const list = await this.#json("GET", "/v1/models");
    return list.data[0];
  }

  /** @param {URLSearchParams} query @returns {Promise<VideoPage>} */
  videos(query) {
    return this.#json("GET", `/v1/videos?${query}`);
  }

  /** @param {string} id @returns {Promise<Video>} */
  video(id) {
    return this.#json("GET", videoPath(id));
  }

  /**
   * Create a video. Retries once if there is no response; the key prevents a second video.
   *
   * @param {VideoRequest} request
   * @param {string} idempotencyKey
   * @returns {Promise<Video>}
   */
  async create(request, idempotencyKey) {
    const headers = { "Idempotency-Key": idempotencyKey, "Content-Type": "application/json" };
    const body = JSON.stringify(request);
    const send = () => this.#json("POST", "/v1/videos", { headers, body });
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, backoffMs()));
      return send();
    }
  }

  /** Why no videos can be made; empty while they can, or if the server can't say. @returns {Promise<string>} */
  async problem() {
    try {
      await this.#fetch("GET", "/health");
      return "";
    } catch (error) {
      // Kinora's own errors have a code; a gateway's don't.
      return error instanceof ApiError && error.status === 503 && error.code ? error.message : "";
    }
  }

  /** @param {string} id @returns {Promise<Video>} */
  cancel(id) {
    return this.#json("POST", `${videoPath(id)}/cancel`);
  }

  /** Completes even if the page is being closed. @param {string} id @returns {Promise<unknown>} */
  remove(id) {
    return this.#json("DELETE", videoPath(id), { keepalive: true });
  }

  /** A file with the name that the server gives it. @param {string} id @param {Variant} variant @returns {Promise<File>} */
  async content(id, variant) {
    const response = await this.#fetch("GET", contentPath(id, variant));
    const encoded = /filename\*=UTF-8\'\'([^;]+)/.exec(response.headers.get("content-disposition") ?? "")?.[1];
    try {
      const name = encoded ? decodeURIComponent(encoded) : id;
      const blob = await response.blob();
      return new File([blob], name, { type: blob.type });
    } catch {
      throw unreachable();
    }
  }

  /**
   * Open the event stream. It has no timeout, and ends with `signal`.
   *
   * @param {string | null} lastEventId
   * @param {AbortSignal} signal
   * @returns {Promise<ReadableStream<Uint8Array>>}
   */
  async events(lastEventId, signal) {
    /** @type {Record<string, string>} */
    const headers = lastEventId === null ? {} : { "Last-Event-ID": lastEventId };
    const response = await this.#fetch("GET", "/v1/events", { headers, signal });
    if (!response.body) throw unreachable();
    return response.body;
  }

  /** @param {string} method @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
  async #json(method, path, options = {}) {
    const response = await this.#fetch(method, path, options);
    try {
      return await response.json();
    } catch {
      // A 200 without JSON comes from something other than the API, such as a captive portal.
      throw new ApiError(502, { message: "The server's response can't be read." });
    }
  }

  /** @param {string} method @param {string} path @param {RequestInit} [options] */
  async #fetch(method, path, options = {}) {
    const headers = { ...options.headers, ...this.session.headers };
    const signal = options.signal ?? AbortSignal.timeout(TIMEOUT_MS);
    /** @type {Response} */
    let response;
    try {
      const prefetched = method === "GET" ? this.takePrefetched(path) : undefined;
      response = await (prefetched ?? fetch(path, { ...options, method, headers, signal }));
    } catch {
      throw unreachable();
    }
    if (response.ok) return response;
    if (response.status === 401) this.session.reject();
    const json = await response.json().catch(() => null);
    const retryAfter = Number(response.headers.get("Retry-After")) || 0;
    throw new ApiError(response.status, json?.error ?? {}, retryAfter);
  }
}

/** @param {string} id @param {Variant} variant */
export function contentPath(id, variant) {
  return `${videoPath(id)}/content${variant === "video" ? "" : `?variant=${variant}`}`;
}

/** A key for `create`. `randomUUID` is missing where a page is served without TLS. */
export function newIdempotencyKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} id */
function videoPath(id) {
  return `/v1/videos/${encodeURIComponent(id)}`;
}

function unreachable() {
  return new ApiError(0, { message: "Can't reach the server." });
}
