/** The report: one record, or several side by side. */
document.documentElement.dataset["ready"] = "true";
