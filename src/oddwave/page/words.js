// Texts of the page in English and Chinese. {name} stands for a value; values are always put in as text.

const WORDS = {
  title: ["Find anomalies", "发现异常"],
  light: ["Light", "浅色"],
  dark: ["Dark", "深色"],
  dismiss: ["Close", "关闭"],
  key_title: ["This service asks for an API key", "此服务需要 API 密钥"],
  key: ["API key", "API 密钥"],
  go_on: ["Continue", "继续"],
  start_title: ["Drop a file here, or try the example", "将文件拖到这里,或先试示例"],
  start_hint: [
    "CSV, XLSX or Parquet: rows in time order, one column a channel. The file goes to this service and is removed when your visit ends.",
    "CSV、XLSX 或 Parquet:按时间排列的行,每列一个通道。文件会发送到此服务,访问结束后删除。",
  ],
  pick: ["Choose a file", "选择文件"],
  example: ["Try the example", "试用示例"],
  another: ["Another file", "换一个文件"],
  step_1: ["Drop a file: it is scored at once.", "拖入文件,立即评分。"],
  step_2: ["Click an event to zoom to it and see the channels behind it.", "点击事件,放大查看相关通道。"],
  step_3: ["Drag the threshold, mark what is right or wrong, and save the result.", "拖动阈值,标记对错,保存结果。"],
  detector: ["Detector", "检测器"],
  own_detector: ["Your own (.onnx)", "自己的检测器(.onnx)"],
  compare: ["Compare with", "对比"],
  nothing: ["nothing", "不对比"],
  settings: ["Settings", "设置"],
  mode: ["Score with", "评分方式"],
  mode_full: ["all rows around (full)", "前后所有行(full)"],
  mode_causal: ["the past only (causal)", "仅过去的行(causal)"],
  merge_gap: ["Join events within (rows)", "合并间隔(行)"],
  min_length: ["Shortest event (rows)", "最短事件(行)"],
  file_facts: ["{rows} rows, {channels} channels", "{rows} 行,{channels} 个通道"],
  reading: ["Reading {name} …", "正在读取 {name} …"],
  scoring: ["Scoring with {model} …", "正在用 {model} 评分 …"],
  done: ["Scored in {seconds} s.", "评分用时 {seconds} 秒。"],
  no_detector: [
    "No detector here knows the channels of this file. Train one below on rows that were normal, or add your own detector.",
    "没有检测器认识此文件的通道。请在下方用正常数据训练一个,或添加自己的检测器。",
  ],
  one_event: ["1 event", "1 个事件"],
  some_events: ["{events} events", "{events} 个事件"],
  one_row: ["1 row", "1 行"],
  some_rows: ["{rows} rows", "{rows} 行"],
  train_this: ["Train on this file", "用此文件训练"],
  unfit: ["other channels", "通道不符"],
  found: [
    "{events}, {anomalous} of {rows} rows anomalous. The worst is at {peak}; its score reached {score}, with a threshold of {threshold}.",
    "{events},{rows} 行中有 {anomalous} 行异常。最严重的在 {peak},得分 {score},阈值 {threshold}。",
  ],
  none_found: [
    "No row is above the threshold of {threshold}. The highest score is {score}: lower the threshold to see more.",
    "没有行超过阈值 {threshold}。最高得分 {score}:降低阈值可看到更多。",
  ],
  events: ["Events", "事件"],
  list_hint: ["Choose an event to zoom the charts to it.", "选择一个事件,图表会放大到该处。"],
  no_events: ["No event at this threshold.", "此阈值下没有事件。"],
  and_more: ["The {shown} worst of {all} events are listed; raise the threshold to see fewer.", "列出 {all} 个事件中最严重的 {shown} 个;提高阈值可减少。"],
  start: ["Start", "开始"],
  end: ["End", "结束"],
  duration: ["Duration", "时长"],
  rows: ["Rows", "行数"],
  peak_score: ["Peak score", "最高得分"],
  top_channels: ["Top channels", "主要通道"],
  mark: ["Right or wrong?", "对还是错?"],
  right: ["Right", "正确"],
  wrong: ["Wrong", "误报"],
  right_event: ["Event {number} is right", "事件 {number} 正确"],
  wrong_event: ["Event {number} is a false alarm", "事件 {number} 是误报"],
  note: ["Note", "备注"],
  note_event: ["Note on event {number}", "事件 {number} 的备注"],
  export_marks: ["Export marks (CSV)", "导出标记(CSV)"],
  charts: ["Charts", "图表"],
  score: ["Score", "得分"],
  score_of: ["Score of {model}", "{model} 的得分"],
  part: ["{share} of event {number}", "事件 {number} 的 {share}"],
  over_time: ["{name} over time", "{name} 随时间变化"],
  zoom_in: ["Zoom in", "放大"],
  zoom_out: ["Zoom out", "缩小"],
  show_all: ["Show all", "全部显示"],
  shown: ["{from} to {to}", "{from} 至 {to}"],
  how: [
    "Zoom: drag over a chart, pinch, turn the wheel with Ctrl, or use + and −; move with ← and →; 0 or a double click show everything again.",
    "缩放:在图上拖动、双指捏合、Ctrl 加滚轮,或按 + 和 −;← 和 → 移动;0 或双击恢复全部。",
  ],
  more: ["Show {count} more channels", "再显示 {count} 个通道"],
  threshold: ["Threshold", "阈值"],
  drag_threshold: ["Threshold: drag, or use the arrow keys", "阈值:拖动或用方向键"],
  budget: ["False alarms", "误报预算"],
  budget_own: ["as the detector was set", "检测器自带"],
  budget_day: ["at most 1 a day", "每天最多 1 次"],
  budget_week: ["at most 1 a week", "每周最多 1 次"],
  budget_1: ["1 % of normal rows", "正常行的 1 %"],
  budget_01: ["0.1 % of normal rows", "正常行的 0.1 %"],
  budget_001: ["0.01 % of normal rows", "正常行的 0.01 %"],
  budget_hand: ["set by hand", "手动设置"],
  expected: ["About {share} of normal rows are above it.", "约 {share} 的正常行会超过它。"],
  comparison: ["Comparison", "对比"],
  agreement: [
    "{both} events are found by both; {first} only by {a}, {second} only by {b}.",
    "两者都发现 {both} 个事件;仅 {a} 发现 {first} 个,仅 {b} 发现 {second} 个。",
  ],
  only: ["Only {model}: {from} to {to}", "仅 {model}:{from} 至 {to}"],
  save: ["Save the result", "保存结果"],
  notes: ["Notes on the data", "数据说明"],
  unscored: ["{rows} rows are not scored: {why}", "{rows} 行没有评分:{why}"],
  train_title: ["Train a detector on your own rows", "用自己的数据训练检测器"],
  train_hint: ["Give rows of normal operation; some odd ones do little harm. Training runs beside the service.", "请提供正常运行的数据;少量异常影响不大。训练在服务之外单独进行。"],
  train_pick: ["File of normal rows", "正常数据文件"],
  train_model: ["Model", "模型"],
  train_name: ["Name", "名称"],
  channels: ["Channels", "通道"],
  train_start: ["Train", "开始训练"],
  cancel: ["Cancel", "取消"],
  train_progress: ["Progress of the training", "训练进度"],
  train_curve: ["Loss by epoch: of the rows it learns from (line), and of those held out (dashes)", "各轮损失:训练行(实线)与留出行(虚线)"],
  train_running: ["Epoch {epoch} of {epochs}, loss {loss}, held-out {held_out}", "第 {epoch}/{epochs} 轮,损失 {loss},留出 {held_out}"],
  train_begins: ["The training starts …", "训练即将开始 …"],
  train_finished: ["Done in {seconds} s.", "用时 {seconds} 秒,完成。"],
  train_cancelled: ["Cancelled. Nothing was kept.", "已取消,未保留任何内容。"],
  train_use: ["Use it now", "立即使用"],
  train_save: ["Download the detector", "下载检测器"],
  offline: ["The service doesn't answer. Check that it runs, then try again.", "服务没有响应。请确认它在运行,然后重试。"],
};

let place = navigator.language.startsWith("zh") ? 1 : 0;
try {
  place = { en: 0, zh: 1 }[localStorage.getItem("oddwave-language")] ?? place;
} catch {
  // storage is off: the browser's language it is
}

export const language = () => ["en", "zh-CN"][place];

/** The text of a name, with values put in. */
export function t(name, values = {}) {
  const text = WORDS[name]?.[place] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

/** Change to the other language. */
export function changeLanguage() {
  place = 1 - place;
  try {
    localStorage.setItem("oddwave-language", ["en", "zh"][place]);
  } catch {
    // for this visit only, then
  }
  translate();
}

/** Write all texts that index.html names. */
export function translate() {
  document.documentElement.lang = language();
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]"))
    element.setAttribute("aria-label", t(element.dataset.tLabel));
}
