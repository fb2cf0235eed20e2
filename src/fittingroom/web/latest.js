// Work that is wished for more often than it can be done: one at a time, and of what was wished meanwhile only the latest.

/** A function that has `work` (async) done once more; whoever calls it while that is under way has it done again after. */
export function latest(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      busy = false; // work that failed once must not be the last
    }
  };
}
