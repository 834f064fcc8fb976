import { announce } from "./browser/dom.js";
import { ApiError } from "./server/api.js";
import { shortPrompt } from "./videos/labels.js";
import { PendingDeletions } from "./videos/pending_deletions.js";
import { requestOf } from "./videos/request.js";

/** @typedef {import("./compose/form.js").VideoForm} VideoForm */
/** @typedef {import("./compose/submission.js").Submission} Submission */
/** @typedef {import("./page/router.js").Router} Router */
/** @typedef {import("./page/toasts.js").Toasts} Toasts */
/** @typedef {import("./server/api.js").Api} Api */
/** @typedef {import("./server/media.js").Media} Media */
/** @typedef {import("./server/types.js").Variant} Variant */
/** @typedef {import("./server/types.js").Video} Video */
/** @typedef {import("./videos/available_actions.js").Actions} Actions */
/** @typedef {import("./videos/library.js").Library} Library */

/**
 * What the buttons of a video do, in the gallery and in the detail view.
 *
 * @param {{api: Api, library: Library, media: Media, toasts: Toasts, submission: Submission,
 *   router: Router, form: VideoForm}} dependencies
 * @returns {Actions}
 */
export function videoActions({ api, library, media, toasts, submission, router, form }) {
  const deletions = new PendingDeletions(api, library, {
    offerUndo: (undo, confirm) =>
      toasts.show("Video deleted.", { label: "Undo", onChosen: undo, onDismissed: confirm }),
    onFailed: (video, error) => toasts.show(`Couldn't delete “${shortPrompt(video.prompt)}”: ${error.message}`),
  });
  return {
    async cancel(video) {
      try {
        library.put(await api.cancel(video.id));
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        toasts.show(`Couldn't cancel the video: ${error.message}`);
      }
    },
    remove(video) {
      router.close();
      deletions.add(video);
      announce("Video deleted. The Undo button is at the end of the page.");
    },
    remix(video) {
      router.close();
      form.fill(video);
    },
    async retry(video) {
      const { error } = await submission.send([requestOf(video)]);
      if (error) toasts.show(`Couldn't create the video: ${error.message}`);
      else router.close();
    },
    download: (video) => download(media, toasts, video, "video"),
  };
}

/** Save a file of a video. @param {Media} media @param {Toasts} toasts @param {Video} video @param {Variant} variant */
export async function download(media, toasts, video, variant) {
  try {
    const link = document.createElement("a");
    const { url, name } = await media.file(video.id, variant);
    link.href = url;
    link.download = name;
    link.click();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toasts.show(`Couldn't download the file: ${error.message}`);
  }
}
