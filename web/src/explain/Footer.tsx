/** Licence, how to cite, and what the page follows and leans on. */
import { texts } from "../core/i18n";
import { Say } from "../ui/Say";

const t = texts({
  en: {
    about: "About this page",
    licence:
      "Text and figures: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/); use them, change them, name the source. Code: Apache-2.0.",
    cite: "To cite: The gradpath authors (2026). gradpath {version}: where the gradient of a deep network goes.",
    article:
      "The page follows an article of 27 August 2017 by Professor ho in AI科技评论, 为什么ResNet和DenseNet可以这么深？, and says where research since has corrected it.",
    sources: "Sources",
    offline: "One file: it loads nothing, sends nothing and works without a network.",
  },
  zh: {
    about: "关于本页",
    licence:
      "文字与图：[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/deed.zh-hans)，可使用、可修改，请注明来源。代码：Apache-2.0。",
    cite: "引用：The gradpath authors (2026). gradpath {version}: where the gradient of a deep network goes.",
    article:
      "本页沿着 2017 年 8 月 27 日 AI科技评论 Professor ho 的文章《为什么ResNet和DenseNet可以这么深？》展开，并说明后来的研究在哪些地方修正了它。",
    sources: "文献",
    offline: "只有一个文件：不加载任何东西，不发送任何东西，没有网络也能用。",
  },
});

const PAPERS = [
  "He, Zhang, Ren, Sun (2015). Delving Deep into Rectifiers. [arXiv:1502.01852](https://arxiv.org/abs/1502.01852)",
  "He, Zhang, Ren, Sun (2016). Deep Residual Learning for Image Recognition. [arXiv:1512.03385](https://arxiv.org/abs/1512.03385)",
  "He, Zhang, Ren, Sun (2016b). Identity Mappings in Deep Residual Networks. [arXiv:1603.05027](https://arxiv.org/abs/1603.05027)",
  "Szegedy et al. (2015). Going Deeper with Convolutions. [arXiv:1409.4842](https://arxiv.org/abs/1409.4842)",
  "Veit, Wilber, Belongie (2016). Residual Networks Behave Like Ensembles of Relatively Shallow Networks. [arXiv:1605.06431](https://arxiv.org/abs/1605.06431)",
  "Zagoruyko, Komodakis (2016). Wide Residual Networks. [arXiv:1605.07146](https://arxiv.org/abs/1605.07146)",
  "Huang, Sun, Liu, Sedra, Weinberger (2016). Deep Networks with Stochastic Depth. [arXiv:1603.09382](https://arxiv.org/abs/1603.09382)",
  "Huang, Liu, van der Maaten, Weinberger (2017). Densely Connected Convolutional Networks. [arXiv:1608.06993](https://arxiv.org/abs/1608.06993)",
  "Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz (2019). A Mean Field Theory of Batch Normalization. [arXiv:1902.08129](https://arxiv.org/abs/1902.08129)",
  "De, Smith (2020). Batch Normalization Biases Residual Blocks Towards the Identity Function in Deep Networks. [arXiv:2002.10444](https://arxiv.org/abs/2002.10444)",
];

export function Footer({ version = "" }: { version: string | undefined }) {
  return (
    <footer aria-label={t("about")}>
      <p>{t("offline")}</p>
      <p>
        <Say text={t("licence")} />
      </p>
      <p>{t("cite", { version })}</p>
      <p>{t("article")}</p>
      <details>
        <summary>{t("sources")}</summary>
        <ul>
          {PAPERS.map((paper) => (
            <li key={paper} lang="en">
              <Say text={paper} />
            </li>
          ))}
        </ul>
      </details>
    </footer>
  );
}
