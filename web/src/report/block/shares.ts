/** A use's part of a fork's gradient as text: never where the parts cancel each other. */
import { decoded, percent } from "../../core/numbers";
import type { Edge, Fork } from "../records";

const CANCELLED_ABOVE = 0.99;

export const isCancelled = (fork: Fork): boolean => (decoded(fork.cancellation) ?? 0) > CANCELLED_ABOVE;

/** '57 %'; '' where the share says nothing. */
export function shareText(fork: Fork, edge: Edge, digits = 0): string {
  const share = decoded(edge.share);
  return share === null || isCancelled(fork) ? "" : percent(share, digits);
}
