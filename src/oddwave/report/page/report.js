// The report: all of it stands in the HTML already, but for the chart of the scores.

listenToTheme();
if (page.events.length) listenToList();
showCharts();
