// Requests the first page and the model while the other modules are still loading.

import { FIRST_PAGE_SIZE, apiQuery, readQuery } from "./query.js";
import { authorization } from "./session.js";

/** @type {Map<string, Promise<Response>>} */
const responses = new Map();

for (const path of ["/v1/models", `/v1/videos?${apiQuery(readQuery(location.search), FIRST_PAGE_SIZE)}`]) {
  const response = fetch(path, { headers: authorization() });
  response.catch(() => {}); // handled by the caller of takePrefetched
  responses.set(path, response);
}

/** The response to a prefetched request, once. @param {string} path @returns {Promise<Response> | undefined} */
export function takePrefetched(path) {
  const response = responses.get(path);
  responses.delete(path);
  return response;
}
