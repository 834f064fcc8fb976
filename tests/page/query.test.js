import { deepEqual, equal } from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { ALL_VIDEOS, apiQuery, dayBefore, isFiltered, mayMatch, readQuery, writeQuery } from "../../ui/server/query.js";
import { videoOf } from "./fakes.js";

afterEach(() => mock.timers.reset());

/** @param {string} text in the browser's time zone */
const seconds = (text) => new Date(text).getTime() / 1000;

test("a query survives the page's address", () => {
  const query = { q: "a & b=ü?", status: "failed", from: "2026-11-01", to: "2026-11-28" };
  deepEqual(readQuery(writeQuery(query)), query);
  equal(writeQuery(ALL_VIDEOS), "");
});

test("invalid values in the address are ignored", () => {
  deepEqual(readQuery("?q=x&status=nonsense&from=yesterday&to=2026-13-41&other=1"), { ...ALL_VIDEOS, q: "x" });
});

test("only a query with a condition counts as filtered", () => {
  equal(isFiltered(ALL_VIDEOS), false);
  equal(isFiltered({ ...ALL_VIDEOS, to: "2026-11-28" }), true);
});

test("the API gets days as Unix seconds: from the start of the first to the end of the last", () => {
  const query = apiQuery({ q: " owl ", status: "queued", from: "2026-10-24", to: "2026-10-25" }, 30, "v9");
  deepEqual(Object.fromEntries(query), {
    limit: "30", q: "owl", status: "queued", after: "v9",
    created_after: String(seconds("2026-10-24T00:00:00")),
    created_before: String(seconds("2026-10-26T00:00:00")),
  });
});

test("the API gets no empty conditions", () => {
  equal(String(apiQuery(ALL_VIDEOS, 100)), "limit=100");
});

test("days match from their first second up to their last", () => {
  const query = { ...ALL_VIDEOS, from: "2026-11-27", to: "2026-11-28" };
  const at = (/** @type {string} */ text) => mayMatch(videoOf("v", { created_at: seconds(text) }), query);
  equal(at("2026-11-26T23:59:59"), false);
  equal(at("2026-11-27T00:00:00"), true);
  equal(at("2026-11-28T23:59:59"), true);
  equal(at("2026-11-29T00:00:00"), false);
});

test("days before today are counted across months and years", () => {
  mock.timers.enable({ apis: ["Date"], now: new Date("2027-01-02T12:00:00").getTime() });
  equal(dayBefore(0), "2027-01-02");
  equal(dayBefore(2), "2026-12-31");
  equal(dayBefore(29), "2026-12-04");
});
