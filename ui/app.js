import { download, videoActions } from "./actions.js";
import { announce } from "./browser/dom.js";
import { followKeyboard } from "./browser/keyboard.js";
import { VideoForm } from "./compose/form.js";
import { offerExamples, showModel } from "./compose/model.js";
import { Submission } from "./compose/submission.js";
import { Detail } from "./detail/detail.js";
import { Gallery } from "./gallery/gallery.js";
import { Placeholders } from "./gallery/placeholders.js";
import { Toolbar } from "./gallery/toolbar.js";
import { Connection } from "./page/connection.js";
import { Notifications } from "./page/notifications.js";
import { Router } from "./page/router.js";
import { SignIn } from "./page/sign_in.js";
import { Toasts } from "./page/toasts.js";
import { Api, ApiError } from "./server/api.js";
import { backoffMs } from "./server/backoff.js";
import { Media } from "./server/media.js";
import { takePrefetched } from "./server/prefetch.js";
import { ALL_VIDEOS, readQuery, writeQuery } from "./server/query.js";
import { Session } from "./server/session.js";
import { Estimate } from "./videos/estimate.js";
import { Eta } from "./videos/eta.js";
import { newLabel, summaryLabel } from "./videos/labels.js";
import { Library } from "./videos/library.js";
import { Live } from "./videos/live.js";
import { WaitReason } from "./videos/wait_reason.js";

/** @typedef {import("./server/types.js").Video} Video */

// All dependencies are wired here.
const api = new Api(new Session(), takePrefetched);
const media = new Media(api);
const library = new Library(api);
const estimate = new Estimate();
const eta = new Eta(estimate);
const toasts = new Toasts();
const connection = new Connection();
const waitReason = new WaitReason(api, (reason) => connection.showWaitReason(reason));
const placeholders = new Placeholders();
const router = new Router(open);
const notifications = new Notifications((id) => router.showVideo(id), (text) => toasts.show(text));
const submission = new Submission(api, (video) => {
  notifications.expect(video.id);
  library.add(video);
  announce(summaryLabel(video));
}, showNew);
const form = new VideoForm((requests) => submission.send(requests), estimate);
const actions = videoActions({ api, library, media, toasts, submission, router, form });
const dependencies = { media, actions, secondsLeft: (/** @type {Video} */ video) => eta.secondsLeft(video) };
const gallery = new Gallery(library, dependencies, () => attempt(() => library.more()));
const detail = new Detail(dependencies, {
  close: () => router.close(),
  step,
  downloadPoster: (video) => download(media, toasts, video, "thumbnail"),
  withKey: () => api.session.signedIn,
});
const toolbar = new Toolbar((query) => {
  router.setSearch(writeQuery(query));
  attempt(() => library.show(query));
});
const live = new Live(api, library, (error, isLive) => {
  connection.show(error, isLive);
  if (!error) onUpdated();
});

new SignIn(api, signedOut);
library.onList = () => {
  gallery.show();
  placeholders.show(library);
};
library.onVideo = (/** @type {Video} */ video, /** @type {Video | undefined} */ before) => {
  eta.update(video);
  estimate.learn(video);
  gallery.update(video);
  detail.update(video);
  notifications.update(video);
  // Not for videos that appear only now.
  if (before && before.status !== video.status) announce(summaryLabel(video));
};

let started = false;
followKeyboard();
library.query = readQuery(location.search);
toolbar.show(library.query);
setInterval(() => {
  gallery.tick();
  detail.tick();
}, 1_000);
start();
open(router.videoId);

async function start() {
  // In parallel with the model, as people are waiting for the list.
  live.start();
  await attempt(async () => {
    const model = await api.model();
    started = true;
    showModel(model);
    form.setModel(model);
    offerExamples(model.example_prompts, (prompt) => form.setPrompt(prompt));
  });
}

/** Until somebody signs in, show nothing of the account whose key the server no longer accepts. */
function signedOut() {
  live.stop();
  library.clear();
  detail.close();
  connection.show(new ApiError(401, {}), false);
}

function onUpdated() {
  form.showCosts();
  waitReason.update(library.active.length > 0);
  if (!started) start();
}

/** @param {string | null} id */
async function open(id) {
  if (id === null) {
    const shown = detail.id;
    detail.close();
    if (shown) gallery.focus(shown);
    return;
  }
  detail.open(id);
  const known = library.get(id);
  if (known) detail.update(known);
  try {
    const video = await api.video(id);
    library.put(video);
    detail.update(library.get(id) ?? video);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (detail.id === id && !known) detail.fail(error);
  }
}

/** Bring new videos into view, or say where they are if the search or a filter leaves them out. @param {Video[]} videos */
async function showNew(videos) {
  const { id } = /** @type {Video} */ (videos.at(-1));
  // Only the server can tell whether a search finds them.
  if (library.query.q) await attempt(() => library.refresh());
  if (gallery.reveal(id)) return;
  const label = newLabel(videos);
  announce(`${label}. The button that shows it is at the end of the page.`);
  toasts.show(label, { label: "Show", onChosen: () => attempt(() => goTo(id)) });
}

/** Focus a video in the list, without the search and the filters if they leave it out. @param {string} id */
async function goTo(id) {
  if (!library.ids.includes(id)) {
    toolbar.show(ALL_VIDEOS);
    router.setSearch("");
    await library.show(ALL_VIDEOS);
  }
  gallery.reveal(id);
  gallery.focus(id);
}

/** @param {number} by */
function step(by) {
  const { ids } = library;
  const place = ids.indexOf(detail.id ?? "");
  const id = place < 0 ? undefined : ids[place + by];
  if (id) router.showVideo(id);
}

/** Run `work`; if the server refuses it, show the error and schedule an update. @param {() => Promise<void>} work */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    connection.show(error, false);
    live.schedule(backoffMs());
  }
}
