/** The test images of a run class by class, the hardest first. */
import { useMemo } from "preact/hooks";
import { texts } from "../core/i18n";
import { percent } from "../core/numbers";
import { Panel } from "./Panel";
import { classRows, type Evaluation } from "./runs";

const t = texts({
  en: {
    title: "Test images, class by class", all: "{right} of {images} test images right, read once, by the weights that were kept; the hardest class first.",
    name: "class", images: "images", right: "right", mistake: "mostly mistaken for", other: "another class", count: "{name} ({n})", more: "{n} more classes are in the record.",
  },
  zh: {
    title: "测试图像：逐类结果", all: "用保留的权重只读一次：{images} 张测试图像中 {right} 张正确；最难的类别在前。",
    name: "类别", images: "图像数", right: "正确", mistake: "最常被误认为", other: "其他类别", count: "{name}（{n}）", more: "另有 {n} 个类别在记录里。",
  },
});
const MOST = 100;

export function TestImages({ test }: { test: Evaluation }) {
  const rows = useMemo(() => classRows(test), [test]);
  return (
    <Panel id="classes" title={t("title")}>
      <p>{t("all", { right: test.right, images: test.images })}</p>
      <div class="table" role="region" aria-labelledby="classes-title" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("name")}</th>
              <th scope="col">{t("images")}</th>
              <th scope="col">{t("right")}</th>
              <th scope="col" class="left">{t("mistake")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MOST).map(({ name, images, accuracy, mistake }, i) => (
              <tr key={i}>
                <th scope="row">{name}</th>
                <td>{images}</td>
                <td>{percent(accuracy)}</td>
                <td class="left">{mistake ? t("count", { name: mistake.name ?? t("other"), n: mistake.images }) : "-"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > MOST && <p class="pale">{t("more", { n: rows.length - MOST })}</p>}
    </Panel>
  );
}
