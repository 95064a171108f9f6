/** Language, theme, colours, size: one bar, the same on every page. */
import { texts, language, speak, type Language } from "../core/i18n";
import { pair, PAIRS, ramp, RAMPS, size, theme, THEMES } from "../core/theme";
import { Choice, Select, Toggle } from "./Field";

const t = texts({
  en: {
    settings: "Display", language: "Language", theme: "Theme", auto: "as the system", light: "light", dark: "dark",
    pair: "Forward and backward", "green-red": "green, red", "blue-orange": "blue, orange",
    ramp: "Decades", cividis: "cividis", viridis: "viridis", grey: "grey", large: "Large type (for a room)",
  },
  zh: {
    settings: "显示", language: "语言", theme: "主题", auto: "跟随系统", light: "浅色", dark: "深色",
    pair: "前向与反向", "green-red": "绿、红", "blue-orange": "蓝、橙",
    ramp: "数量级颜色", cividis: "cividis", viridis: "viridis", grey: "灰度", large: "大字（教室投影）",
  },
});

export function Settings({ hasRamp = false }: { hasRamp?: boolean }) {
  return (
    <div class="settings">
      <Choice<Language>
        legend={t("language")}
        choices={[["en", "English"], ["zh", "中文"]]}
        value={language()}
        onChange={speak}
      />
      <details>
        <summary>{t("settings")}</summary>
        <div class="panel">
          <Choice legend={t("theme")} choices={named(THEMES)} value={theme.value} onChange={theme.set} />
          <Choice legend={t("pair")} choices={named(PAIRS)} value={pair.value} onChange={pair.set} />
          {hasRamp && <Select legend={t("ramp")} choices={named(RAMPS)} value={ramp.value} onChange={ramp.set} />}
          <Toggle label={t("large")} on={size.value === "large"} onChange={(on) => size.set(on ? "large" : "normal")} />
        </div>
      </details>
    </div>
  );
}

const named = <T extends Parameters<typeof t>[0]>(names: readonly T[]) => names.map((name) => [name, t(name)] as const);
