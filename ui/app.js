import { actionsOn, save } from "./actions.js";
import { announce } from "./browser/dom.js";
import { VideoForm } from "./compose/form.js";
import { offerExamples, showModel } from "./compose/model.js";
import { Submission } from "./compose/submission.js";
import { Detail } from "./detail/detail.js";
import { Gallery } from "./gallery/gallery.js";
import { Notes } from "./gallery/notes.js";
import { Toolbar } from "./gallery/toolbar.js";
import { Connection } from "./page/connection.js";
import { Notifications } from "./page/notifications.js";
import { Router } from "./page/router.js";
import { SignIn } from "./page/sign_in.js";
import { Toasts } from "./page/toasts.js";
import { Api, ApiError } from "./server/api.js";
import { Media } from "./server/media.js";
import { readQuery, writeQuery } from "./server/query.js";
import { Session } from "./server/session.js";
import { Estimate } from "./videos/estimate.js";
import { Eta } from "./videos/eta.js";
import { shortPrompt, stateLabel } from "./videos/labels.js";
import { Library } from "./videos/library.js";
import { Live } from "./videos/live.js";

/** @typedef {import("./server/types.js").Video} Video */

// Everything is wired here, and nowhere else.
const api = new Api(new Session());
const media = new Media(api);
const library = new Library(api);
const estimate = new Estimate();
const eta = new Eta(estimate);
const toasts = new Toasts();
const connection = new Connection();
const notes = new Notes();
const router = new Router(open);
const notifications = new Notifications((id) => router.show(id), (text) => toasts.show(text));
const submission = new Submission(api, (video) => {
  notifications.await(video.id);
  library.add(video);
  gallery.toTop();
  announce(`${stateLabel(video)}: ${shortPrompt(video.prompt)}`);
});
const form = new VideoForm((requests) => submission.send(requests), estimate);
const actions = actionsOn({ api, library, media, toasts, submission, router, form });
const means = { media, actions, secondsLeft: (/** @type {Video} */ video) => eta.secondsLeft(video) };
const gallery = new Gallery(library, means, () => attempt(() => library.more()));
const detail = new Detail(means, {
  close: () => router.close(),
  step,
  downloadPoster: (video) => save(media, toasts, video, "thumbnail"),
  withKey: () => api.session.signedIn,
});
const toolbar = new Toolbar((query) => {
  router.list(writeQuery(query));
  attempt(() => library.show(query));
});
new SignIn(api, start);
const live = new Live(api, library, (error, isLive) => {
  connection.show(error, isLive);
  if (!error) learn();
});

library.onList = () => {
  gallery.show();
  notes.show(library);
};
library.onVideo = (/** @type {Video} */ video, /** @type {Video | undefined} */ before) => {
  eta.heard(video);
  estimate.learn(video);
  gallery.update(video);
  detail.update(video);
  notifications.heard(video);
  // Of what was not there a moment ago nobody has to hear how it ended.
  if (before && before.status !== video.status) announce(`${stateLabel(video)}: ${shortPrompt(video.prompt)}`);
};

let started = false;
library.query = readQuery(location.search);
toolbar.show(library.query);
setInterval(() => {
  gallery.tick();
  detail.tick();
}, 1_000);
start();
open(router.open);

async function start() {
  if (started) return live.soon(0);
  // Both at once: the list is what one waits for.
  live.start();
  await attempt(async () => {
    const model = await api.model();
    started = true;
    showModel(model);
    form.setModel(model);
    offerExamples(model.example_prompts, (prompt) => form.write(prompt));
  });
}

function learn() {
  form.price();
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

/** @param {number} by */
function step(by) {
  const { ids } = library;
  const place = ids.indexOf(detail.id ?? "");
  const id = place < 0 ? undefined : ids[place + by];
  if (id) router.show(id);
}

/** Do it, and if the server does not answer, leave it to the next time. @param {() => Promise<void>} work */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    connection.show(error, false);
    live.soon(1_000);
  }
}
