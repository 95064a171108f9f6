/** What Python puts into the page beside the figures: recorded runs and the gallery (see report/_explainer.py). */

export interface ExplainData {
  readonly version?: string;
}
