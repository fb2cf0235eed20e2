// The camera: one stream at a time, shown in a <video>, closed when the page is left.

import { scaled } from "./picture.js";

export class Camera {
  /** `changed` is called whenever it went on or off. */
  constructor(video, changed = () => {}) {
    Object.assign(this, { video, changed });
    addEventListener("pagehide", () => this.stop());
  }

  get on() {
    return Boolean(this.video.srcObject);
  }

  /** Ask for the camera; an error says in words why there is none. */
  async start() {
    this.stop(); // a second stream would be one that nobody can close
    try {
      if (!navigator.mediaDevices) throw new Error("browsers allow it on this machine and over https only");
      const wanted = { facingMode: "environment", width: { ideal: 640 } };
      this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: wanted });
      await this.video.play();
    } catch (error) {
      this.stop();
      throw new Error(`No camera: ${error.message}.`);
    }
    this.changed();
  }

  stop() {
    this.video.srcObject?.getTracks().forEach(track => track.stop());
    this.video.srcObject = null;
    this.changed();
  }

  /** What it sees now on a canvas, at most `side` pixels on the longer side. */
  picture(side = Infinity) {
    return scaled(this.video, this.video.videoWidth, this.video.videoHeight, side);
  }
}
