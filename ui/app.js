import { ApiError, createVideo, getModel, newKey } from "./api.js";
import { announce, find, setText } from "./dom.js";
import { VideoForm } from "./form.js";
import { Gallery } from "./gallery.js";
import { Poll } from "./poll.js";

/** @typedef {import("./types.js").Video} Video */
/** @typedef {import("./types.js").VideoRequest} VideoRequest */

const form = new VideoForm(send);
const gallery = new Gallery(useAgain);
const poll = new Poll(read, showConnection);
let haveModel = false;

// The request whose fate is unknown, and its key: sending it again must not make a second video.
/** @type {{body: string, key: string} | null} */
let unanswered = null;

const more = find(document, "#more", HTMLButtonElement);
more.addEventListener("click", showMore);
poll.now();

async function read() {
  if (!haveModel) {
    form.setModel(await getModel());
    haveModel = true;
  }
  return gallery.refresh();
}

/** @param {VideoRequest} request */
async function send(request) {
  const body = JSON.stringify(request);
  const key = unanswered?.body === body ? unanswered.key : newKey();
  unanswered = { body, key };
  try {
    gallery.add(await createVideo(request, key));
    unanswered = null;
    poll.now();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (!error.temporary) unanswered = null;
    form.showError(error);
  }
}

/** @param {Video} video */
function useAgain(video) {
  form.fill(video);
  announce("The form has the settings of this video.");
}

async function showMore() {
  more.disabled = true;
  try {
    await gallery.showMore();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    showConnection(error);
  } finally {
    more.disabled = false;
  }
}

/** @param {ApiError | null} error */
function showConnection(error) {
  const text = error?.temporary ? "Reconnecting…" : (error?.message ?? "");
  setText(find(document, "#connection", HTMLElement), text);
}
