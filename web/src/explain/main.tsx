/** The explainer: one page, seven parts, each figure making its point at rest. */
import { render } from "preact";
import { pageData } from "../core/data";
import { Page } from "./Page";
import { followUrl } from "../core/state";
import { followTheme } from "../core/theme";
import type { ExplainData } from "./data";

async function start(): Promise<void> {
  const root = document.getElementById("app");
  if (!root) return;
  const data = await pageData<ExplainData>("data");
  followUrl();
  followTheme();
  root.replaceChildren();
  render(<Page data={data ?? {}} />, root);
  document.documentElement.dataset["ready"] = "true";
}

void start();
