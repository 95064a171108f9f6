/** The report: one record, or several side by side. */
import { render } from "preact";
import { pageData } from "../core/data";
import { followUrl } from "../core/state";
import { followTheme } from "../core/theme";
import type { ReportData } from "./data";
import { Page } from "./Page";
import { tellHeight } from "./host";
import type { AnyRecord } from "./records";
import { define } from "./terms";
import { tellIn } from "./told";
import { withVisibleTexts } from "./visible";

async function start(): Promise<void> {
  const root = document.getElementById("app");
  const [data, records] = await Promise.all([pageData<ReportData>("data"), pageData<AnyRecord[]>("records")]);
  if (!root || !data || !records) return;
  define(data.definitions);
  tellIn(data.chinese ?? {});
  followUrl();
  followTheme();
  document.body.classList.add("report");
  root.replaceChildren();
  render(<Page report={{ ...data, records: withVisibleTexts(records) }} />, root);
  tellHeight();
  document.documentElement.dataset["ready"] = "true";
}

void start();
