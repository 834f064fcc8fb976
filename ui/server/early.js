// The two answers that everything waits for, asked for while the other modules are still coming.

import { apiQuery, readQuery } from "./query.js";
import { authorization } from "./session.js";

// The first page is small, so that something shows soon.
export const FIRST_PAGE = 30;

/** @type {Map<string, Promise<Response>>} */
const asked = new Map();

for (const path of ["/v1/models", `/v1/videos?${apiQuery(readQuery(location.search), FIRST_PAGE)}`]) {
  const answer = fetch(path, { headers: authorization() });
  answer.catch(() => {}); // told to who takes it
  asked.set(path, answer);
}

/** An answer that is on its way, once. @param {string} path @returns {Promise<Response> | undefined} */
export function takeEarly(path) {
  const answer = asked.get(path);
  asked.delete(path);
  return answer;
}
