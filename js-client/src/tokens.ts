/** Asking the application for a token: at once or promised, but never for ever. */

import type { Environment } from "./environment.js";
import { failure, type RoomlineError } from "./errors.js";
import { isThenable } from "./promise.js";
import type { TokenAnswer } from "./settings.js";
import { Timer } from "./timer.js";

/**
 * Call `callback` and pass its token to `done`, or to `fail` why there is none: for now, or, if the
 * application's error has `temporary: false`, for good. Gives a function that ends the wait; then
 * neither is called.
 */
export function askForToken(
  environment: Environment,
  timeout: number,
  callback: () => TokenAnswer,
  done: (token: string | null) => void,
  fail: (error: RoomlineError) => void,
): () => void {
  let over = false;
  const finish = (action: () => void) => {
    if (over) return;
    over = true;
    timer.stop();
    action();
  };
  const refuse = (why: string, temporary = true) =>
    finish(() => fail(failure("token_failed", `the token callback ${why}`, temporary)));
  const threw = (error: unknown) => {
    const { message, temporary } = (error || {}) as { message?: unknown; temporary?: unknown };
    refuse(`failed: ${message || error}`, temporary !== false);
  };
  const accept = (token: unknown) => {
    if (token === null || (typeof token === "string" && token)) finish(() => done(token));
    else
      refuse(`gave ${token === "" ? "an empty text" : typeof token}, accepted is a token or null`);
  };
  const timer = new Timer(environment, () => refuse(`gave no token within ${timeout} ms`));
  timer.start(timeout);
  let answer: TokenAnswer;
  try {
    answer = callback();
  } catch (error) {
    threw(error);
    return () => undefined;
  }
  if (isThenable(answer)) answer.then(accept, threw);
  else accept(answer);
  return () => finish(() => undefined);
}
