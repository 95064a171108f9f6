/** The live region that speaks what was announced. */
import { announced } from "../core/announce";

export function Live() {
  return (
    <p class="hidden-text" role="status" aria-live="polite" id="live">
      {announced.value}
    </p>
  );
}
