import { deepEqual, equal } from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Router } from "../../ui/page/router.js";
import { fakeDocument, fakeWindow, newBrowser } from "./fakes.js";

const ORIGIN = "http://kinora.example";

class FakeElement extends EventTarget {
  /** @param {string} href */
  constructor(href) {
    super();
    const { origin, pathname, hash } = new URL(href, ORIGIN);
    Object.assign(this, { origin, pathname, hash });
  }

  closest() {
    return this;
  }

  hasAttribute() {
    return false;
  }
}

/** The history of a browser tab, and its location. */
class FakeHistory {
  entries = ["/"];
  place = 0;
  scrollRestoration = "auto";

  get location() {
    return new URL(this.entries[this.place] ?? "/", ORIGIN);
  }

  /** @param {unknown} _state @param {string} _title @param {string} url */
  pushState(_state, _title, url) {
    this.entries = [...this.entries.slice(0, this.place + 1), url];
    this.place += 1;
  }

  /** @param {unknown} _state @param {string} _title @param {string} url */
  replaceState(_state, _title, url) {
    this.entries[this.place] = url;
  }

  back() {
    this.place -= 1;
    fakeWindow.dispatchEvent(new Event("popstate"));
  }
}

let tab = new FakeHistory();
/** @type {(string | null)[]} */
let opened = [];

/** @param {string} [url] where the page is loaded */
function load(url = "/") {
  tab.entries = [url];
  return new Router((id) => opened.push(id));
}

beforeEach(() => {
  newBrowser();
  tab = new FakeHistory();
  opened = [];
  Object.assign(globalThis, { history: tab, Element: FakeElement, HTMLElement: FakeElement });
  Object.defineProperty(globalThis, "location", { configurable: true, get: () => tab.location });
});

/** Click on a link. @param {string} href @param {object} [modifiers] @returns {boolean} whether the browser follows it itself */
function click(href, modifiers = {}) {
  const event = new Event("click", { cancelable: true });
  Object.defineProperty(event, "target", { value: new FakeElement(href) });
  Object.assign(event, { button: 0, ...modifiers });
  return fakeDocument.dispatchEvent(event);
}

test("the address names the open video", () => {
  equal(load("/videos/video_1?q=owl").videoId, "video_1");
  equal(load("/").videoId, null);
  equal(load("/videos/a%20b").videoId, null);
  equal(load("/videos/video_1/content").videoId, null);
});

test("opening a video adds one entry to the history, and keeps the query", () => {
  const router = load("/?q=owl");
  router.showVideo("v1");
  router.showVideo("v2");
  deepEqual(tab.entries, ["/?q=owl", "/videos/v2?q=owl"]);
  deepEqual(opened, ["v1", "v2"]);
});

test("closing goes back to the list that the video was opened from", () => {
  const router = load("/?q=owl");
  router.showVideo("v1");
  router.close();
  equal(tab.place, 0);
  equal(opened.at(-1), null);
});

test("closing a video that the page was loaded with does not leave the page", () => {
  const router = load("/videos/v1?q=owl");
  router.close();
  deepEqual(tab.entries, ["/?q=owl"]);
  deepEqual(opened, [null]);
});

test("closing without an open video does nothing", () => {
  load("/").close();
  deepEqual(opened, []);
});

test("the back button closes the video", () => {
  load("/").showVideo("v1");
  tab.back();
  deepEqual(opened, ["v1", null]);
});

test("a new query replaces the address of the open video's list", () => {
  const router = load("/videos/v1?q=owl");
  router.setSearch("?q=whale");
  deepEqual(tab.entries, ["/videos/v1?q=whale"]);
});

test("a click on a link to a video opens it here", () => {
  load("/");
  equal(click("/videos/v1"), false);
  deepEqual(opened, ["v1"]);
});

test("clicks for a new tab, and links to other places, are left to the browser", () => {
  load("/");
  for (const modifiers of [{ ctrlKey: true }, { metaKey: true }, { shiftKey: true }, { button: 1 }]) {
    equal(click("/videos/v1", modifiers), true);
  }
  equal(click("https://elsewhere.example/videos/v1"), true);
  equal(click("/v1/videos"), true);
  deepEqual(opened, []);
});
