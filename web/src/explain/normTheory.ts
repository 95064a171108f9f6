/** What theory says of a very wide ReLU net at initialisation, and how a measured profile is put into one number. */
import type { Kind, Profile } from "./normNet";

/** Factor of gradient energy per layer in a plain net with BatchNorm (Yang et al. 2019): ½ / (½ (1 − 1/π)). */
export const BATCHNORM_GROWTH = Math.PI / (Math.PI - 1);
/** Variance of ReLU's output over its mean square, for standard normal inputs. */
const KEPT_BY_CENTRING = 1 - 1 / Math.PI;

/** log10 RMS after layers 1 … depth in the limit of infinite width and batch; 1 arrives at both ends.
 *
 * plain: σ²/2 per layer both ways (He et al. 2015). norm: forward ½, backward π/(π−1). skip: every block adds σ²/2 to
 * the energy, (σ²/2)(1 − 1/π) of it to the variance v; going backward a block multiplies by 1 + (σ²/2)/v (after De and
 * Smith 2020).
 */
export function theory(kind: Kind, depth: number, sigma2: number): Profile {
  const layers = Array.from({ length: depth }, (_, i) => i + 1);
  const half = sigma2 / 2;
  const rms = (logEnergy: number) => logEnergy / 2;
  if (kind === "skip") {
    const factor = (block: number) => 1 + half / (1 + (block - 1) * half * KEPT_BY_CENTRING);
    const later = (layer: number) => layers.slice(layer).reduce((sum, block) => sum + Math.log10(factor(block)), 0);
    return {
      forward: layers.map((layer) => rms(Math.log10(1 + half * layer))),
      backward: layers.map((layer) => rms(later(layer))),
    };
  }
  const back = Math.log10(kind === "norm" ? BATCHNORM_GROWTH : half);
  return {
    forward: layers.map((layer) => rms(kind === "norm" ? Math.log10(0.5) : layer * Math.log10(half))),
    backward: layers.map((layer) => rms((depth - layer) * back)),
  };
}

/** Factor of energy per layer: the slope of a straight line through the logarithms (least squares). Null for one layer. */
export function energyFactor(log10Rms: readonly number[]): number | null {
  const count = log10Rms.length;
  if (count < 2) return null;
  const middle = (count - 1) / 2;
  const mean = log10Rms.reduce((sum, value) => sum + value, 0) / count;
  const top = log10Rms.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0);
  const bottom = log10Rms.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
  return 10 ** (2 * (top / bottom));
}

/** Going backward, as gains are stated. */
export function backwardFactor(log10Rms: readonly number[]): number | null {
  return energyFactor([...log10Rms].reverse());
}
