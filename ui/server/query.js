/** @typedef {import("./types.js").Video} Video */

/**
 * Which videos the list shows; "" means any.
 *
 * @typedef {object} Query
 * @property {string} q text in the prompt
 * @property {string} status
 * @property {string} from the first day, as YYYY-MM-DD in the browser's time zone
 * @property {string} to the last day
 */

/** @type {Readonly<Query>} */
export const ALL_VIDEOS = Object.freeze({ q: "", status: "", from: "", to: "" });

const STATUSES = ["queued", "in_progress", "completed", "failed"];
// The first page is small, so that something shows soon.
export const FIRST_PAGE_SIZE = 30;
// The API's limit.
export const MAX_PAGE_SIZE = 100;

/** Read the query from the page's address; invalid values are ignored. @param {string} search @returns {Query} */
export function readQuery(search) {
  const parameters = new URLSearchParams(search);
  const day = (/** @type {string} */ name) => {
    const text = parameters.get(name) ?? "";
    return Number.isNaN(startOf(text)) ? "" : text;
  };
  const status = parameters.get("status") ?? "";
  return {
    q: parameters.get("q") ?? "",
    status: STATUSES.includes(status) ? status : "",
    from: day("from"),
    to: day("to"),
  };
}

/** The query as the page's address holds it. @param {Query} query @returns {string} "" or "?..." */
export function writeQuery(query) {
  const set = Object.entries(query).filter(([, value]) => value !== "");
  return set.length === 0 ? "" : `?${new URLSearchParams(set)}`;
}

/**
 * The query string of `GET /v1/videos`.
 *
 * @param {Query} query
 * @param {number} limit
 * @param {string} [after] the `last_id` of the previous page
 */
export function apiQuery({ q, status, from, to }, limit, after) {
  return new URLSearchParams({
    limit: String(limit),
    ...(q.trim() && { q: q.trim() }),
    ...(status && { status }),
    ...(from && { created_after: String(startOf(from)) }),
    ...(to && { created_before: String(endOf(to)) }),
    ...(after !== undefined && { after }),
  });
}

/** Whether the API lists the video, if its prompt has the text. @param {Video} video @param {Query} query */
export function mayMatch(video, { status, from, to }) {
  if (status && video.status !== status) return false;
  if (from && video.created_at < startOf(from)) return false;
  return !(to && video.created_at >= endOf(to));
}

/** @param {Query} query */
export function isFiltered(query) {
  return writeQuery(query) !== "";
}

/** @param {number} daysAgo @returns {string} YYYY-MM-DD */
export function dayBefore(daysAgo) {
  const date = new Date();
  date.setDate(date.getDate() - daysAgo);
  const twoDigits = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
}

/** The start of a day in Unix seconds; NaN if it is not a valid day. @param {string} day */
function startOf(day) {
  return /^\d{4}-\d\d-\d\d$/.test(day) ? new Date(`${day}T00:00:00`).getTime() / 1000 : NaN;
}

/** The start of the next day, in Unix seconds. @param {string} day */
function endOf(day) {
  const date = new Date(`${day}T00:00:00`);
  date.setDate(date.getDate() + 1);
  return date.getTime() / 1000;
}
