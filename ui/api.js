/** @typedef {import("./types.js").Model} Model */
/** @typedef {import("./types.js").Video} Video */
/** @typedef {import("./types.js").VideoPage} VideoPage */
/** @typedef {import("./types.js").VideoRequest} VideoRequest */

// Longer than the 5 s that the server itself keeps trying before it answers 503.
const TIMEOUT_MS = 15_000;
const RETRY_MS = 1_000;

/** A request that was refused, or that got no answer (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{message?: string, param?: string | null, code?: string | null}} error
   * @param {number} [retryAfterSeconds]
   */
  constructor(status, error, retryAfterSeconds = 0) {
    super(error.message || `The server answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.param = error.param ?? null;
    this.code = error.code ?? null;
    this.retryAfterMs = retryAfterSeconds * 1000;
  }

  /** Nobody knows whether the server did it, or it may do it later: asking again can help. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @returns {Promise<Model>} */
export async function getModel() {
  const list = await call("GET", "/v1/models");
  return list.data[0];
}

/**
 * @param {number} limit
 * @param {string | null} [after] the id of the video before the page
 * @returns {Promise<VideoPage>}
 */
export function listVideos(limit, after = null) {
  const query = new URLSearchParams({ limit: String(limit), order: "desc" });
  if (after) query.set("after", after);
  return call("GET", `/v1/videos?${query}`);
}

/** @param {string} id @returns {Promise<Video>} */
export function getVideo(id) {
  return call("GET", videoPath(id));
}

/**
 * Ask for a video. Without an answer it asks once more; the key makes that one video, not two.
 *
 * @param {VideoRequest} request
 * @param {string} idempotencyKey
 * @returns {Promise<Video>}
 */
export async function createVideo(request, idempotencyKey) {
  const send = () => call("POST", "/v1/videos", request, { "Idempotency-Key": idempotencyKey });
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 0) throw error;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    return send();
  }
}

/** @param {string} id @returns {Promise<Video>} */
export function cancelVideo(id) {
  return call("POST", `${videoPath(id)}/cancel`);
}

/** @param {string} id @returns {Promise<unknown>} */
export function deleteVideo(id) {
  return call("DELETE", videoPath(id));
}

/** @param {string} id @param {"video" | "thumbnail"} [variant] */
export function contentUrl(id, variant = "video") {
  return `${videoPath(id)}/content${variant === "video" ? "" : `?variant=${variant}`}`;
}

/** A new key for `createVideo`. `randomUUID` is missing where a page is served without TLS. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} id */
function videoPath(id) {
  return `/v1/videos/${encodeURIComponent(id)}`;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>}
 */
async function call(method, path, body, headers = {}) {
  if (body) headers = { ...headers, "Content-Type": "application/json" };
  let response;
  let text;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
    text = await response.text();
  } catch {
    throw new ApiError(0, { message: "The server can't be reached." });
  }
  const json = parse(text);
  if (response.ok && json) return json;
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  // A 200 that is no JSON comes from something else than the API, such as a captive portal.
  throw new ApiError(response.ok ? 502 : response.status, json?.error ?? {}, retryAfter);
}

/** @param {string} text @returns {any} null when it is no JSON object, as a proxy's error page */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
