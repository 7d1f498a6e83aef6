// The page of a server: polls its metrics, draws them, and sends requests to its models.
'use strict';

const $ = (id) => document.getElementById(id);
const history = [];
let before = null;

async function getJson(path, options) {
  const response = await fetch(path, options);
  const json = await response.json();
  if (!response.ok) throw new Error(json.error || response.statusText);
  return json;
}

// Prometheus' text as {name: [{labels, value}]}.
function parseMetrics(text) {
  const metrics = {};
  for (const line of text.split('\n')) {
    const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, key, value] of (match[2] || '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = value.replace(/\\(.)/g, '$1');
    }
    (metrics[match[1]] = metrics[match[1]] || []).push({labels, value: Number(match[3])});
  }
  return metrics;
}

const keyOf = (labels) => `${labels.model} ${labels.version}`;

// {model: [[bound, count up to it], ...]}
function histograms(metrics, name) {
  const result = {};
  for (const {labels, value} of metrics[name + '_bucket'] || []) {
    const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
    (result[keyOf(labels)] = result[keyOf(labels)] || []).push([bound, value]);
  }
  return result;
}

function since(now, then) {
  return now.map(([bound, count], i) => [bound, count - (then ? then[i][1] : 0)]);
}

function percentile(buckets, share) {
  const total = buckets.length ? buckets[buckets.length - 1][1] : 0;
  if (!total) return null;
  let low = 0, below = 0;
  for (const [bound, count] of buckets) {
    if (count >= total * share) {
      if (bound === Infinity) return low;
      return low + (bound - low) * (total * share - below) / Math.max(count - below, 1);
    }
    low = bound;
    below = count;
  }
  return low;
}

function timeText(seconds) {
  if (seconds === null) return '–';
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(2)} ms`;
  return `${seconds.toFixed(2)} s`;
}

function svgNode(name, attributes, text) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function drawLine(svg, values) {
  const most = Math.max(1, ...values);
  const points = values.map((v, i) => `${10 + i * 380 / 59},${135 - 115 * v / most}`).join(' ');
  svg.replaceChildren(svgNode('polyline', {class: 'line', points}),
                      svgNode('text', {x: 10, y: 14}, `${most.toFixed(0)}/s`),
                      svgNode('text', {x: 10, y: 147}, 'last minute'));
}

function drawBars(svg, bars) {
  const most = Math.max(1, ...bars.map(([, count]) => count));
  const width = 380 / Math.max(bars.length, 1);
  svg.replaceChildren(...bars.flatMap(([label, count], i) => [
    svgNode('rect', {class: 'bar', x: 10 + i * width + 2, width: Math.max(width - 4, 1),
                     y: 132 - 112 * count / most, height: 112 * count / most}),
    svgNode('text', {x: 10 + i * width + 4, y: 146}, label)]));
}

function cells(row, values) {
  for (const [text, bad] of values) {
    const cell = row.insertCell();
    cell.textContent = text;
    if (bad) cell.className = 'bad';
  }
}

async function refresh() {
  const [text, index] = await Promise.all([
    fetch('/metrics').then((r) => r.text()), getJson('/v2/repository/index', {method: 'POST'})]);
  const metrics = parseMetrics(text);
  const now = {at: performance.now(), times: histograms(metrics, 'ingot_request_duration_seconds'),
               batches: histograms(metrics, 'ingot_batch_size'), metrics};
  const seconds = before ? (now.at - before.at) / 1000 : 1;
  const failed = {};
  for (const {labels, value} of metrics.ingot_requests_failed_total || []) failed[keyOf(labels)] = value;
  const body = $('models').tBodies[0];
  body.replaceChildren();
  let all = 0;
  for (const {name, version, state, reason} of index) {
    const key = `${name} ${version}`;
    const total = now.times[key] || [];
    const recent = before && before.times[key] ? since(total, before.times[key]) : [];
    const count = recent.length ? recent[recent.length - 1][1] : 0;
    all += count / seconds;
    const shown = count ? recent : total;
    const batch = now.batches[key] || [];
    const batches = batch.length ? batch[batch.length - 1][1] : 0;
    const rows = (metrics.ingot_rows_total || []).find((m) => keyOf(m.labels) === key);
    cells(body.insertRow(), [
      [name], [version || ''], [state === 'READY' ? 'ready' : reason || state || 'not loaded', state !== 'READY'],
      [(count / seconds).toFixed(1)], [timeText(percentile(shown, 0.5))], [timeText(percentile(shown, 0.95))],
      [timeText(percentile(shown, 0.99))],
      [rows && batches ? (rows.value / batches).toFixed(1) : '–'], [failed[key] || 0, failed[key] > 0]]);
  }
  const value = (name) => (metrics[name] || [{value: 0}])[0].value;
  $('server').textContent = `${index.length} model${index.length === 1 ? '' : 's'}, ${value('ingot_connections')} connections, ` +
      `${(value('ingot_resident_memory_bytes') / 1048576).toFixed(0)} MiB, up ${value('ingot_uptime_seconds').toFixed(0)} s`;
  history.push(all);
  if (history.length > 60) history.shift();
  drawLine($('throughput'), history);
  const sizes = {};
  for (const buckets of Object.values(now.batches)) {
    let below = 0;
    for (const [bound, count] of buckets) {
      sizes[bound] = (sizes[bound] || 0) + count - below;
      below = count;
    }
  }
  drawBars($('batches'), Object.entries(sizes).map(([bound, count]) => [bound === 'Infinity' ? '>' : bound, count]));
  const names = index.filter((m) => m.state === 'READY').map((m) => m.name);
  const options = [...new Set(names)];
  if ([...$('model').options].map((o) => o.value).join() !== options.join()) {
    $('model').replaceChildren(...options.map((name) => new Option(name, name)));
    await chooseModel();
  }
  before = now;
}

// Whether a port takes a picture, and its size: [C, H, W] or [H, W, C] behind the batch axis.
function pictureOf(port) {
  const dims = port.shape.slice(-3);
  if (port.shape.length < 3 || !['FP32', 'UINT8'].includes(port.datatype)) return null;
  if ([1, 3].includes(dims[0])) return {channels: dims[0], height: dims[1], width: dims[2], first: true};
  if ([1, 3].includes(dims[2])) return {channels: dims[2], height: dims[0], width: dims[1], first: false};
  return null;
}

async function chooseModel() {
  const name = $('model').value;
  $('inputs').replaceChildren();
  if (!name) return;
  const model = await getJson(`/v2/models/${encodeURIComponent(name)}`);
  for (const port of model.inputs || []) {
    const shape = port.shape.map((d) => (d < 0 ? 1 : d));
    const label = document.createElement('label');
    label.textContent = `${port.name} ${port.datatype} [${port.shape.join(', ')}]`;
    const field = document.createElement('textarea');
    Object.assign(field.dataset, {name: port.name, datatype: port.datatype, shape: shape.join(',')});
    const count = shape.reduce((a, b) => a * b, 1);
    const zero = port.datatype === 'BYTES' ? '""' : port.datatype === 'BOOL' ? 'false' : '0';
    field.value = `[${Array(Math.min(count, 20000)).fill(zero).join(', ')}]`;
    label.append(field);
    const picture = pictureOf(port);
    if (picture) label.append(pictureField(picture, field));
    $('inputs').append(label);
  }
}

// A file field that fills the text field with a picture's values, scaled to the model's size.
function pictureField(picture, field) {
  const file = document.createElement('input');
  file.type = 'file';
  file.accept = 'image/*';
  file.onchange = async () => {
    const [width, height] = [picture.width > 0 ? picture.width : 224, picture.height > 0 ? picture.height : 224];
    const bitmap = await createImageBitmap(file.files[0]);
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height).data;
    const scale = field.dataset.datatype === 'FP32' ? 1 / 255 : 1;
    const at = (c, i) => picture.channels === 1
      ? (pixels[4 * i] + pixels[4 * i + 1] + pixels[4 * i + 2]) / 3 : pixels[4 * i + c];
    const values = [];
    if (picture.first) {
      for (let c = 0; c < picture.channels; ++c) for (let i = 0; i < width * height; ++i) values.push(at(c, i) * scale);
    } else {
      for (let i = 0; i < width * height; ++i) for (let c = 0; c < picture.channels; ++c) values.push(at(c, i) * scale);
    }
    field.value = JSON.stringify(scale === 1 ? values.map(Math.round) : values);
    field.dataset.shape = (picture.first ? [1, picture.channels, height, width] : [1, height, width, picture.channels]).join(',');
    file.after(canvas);
  };
  return file;
}

$('model').onchange = chooseModel;
$('try').onsubmit = async (event) => {
  event.preventDefault();
  const answer = $('answer');
  answer.hidden = false;
  try {
    const inputs = [...$('inputs').querySelectorAll('textarea')].map((field) => ({
      name: field.dataset.name, datatype: field.dataset.datatype,
      shape: field.dataset.shape.split(',').filter((d) => d !== '').map(Number), data: JSON.parse(field.value)}));
    const begin = performance.now();
    const result = await getJson(`/v2/models/${encodeURIComponent($('model').value)}/infer`, {
      method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({inputs})});
    answer.textContent = `${(performance.now() - begin).toFixed(1)} ms\n` +
      result.outputs.map((o) => `${o.name} ${o.datatype} [${o.shape.join(', ')}]\n${JSON.stringify(o.data)}`).join('\n\n');
    answer.className = '';
  } catch (error) {
    answer.textContent = error.message;
    answer.className = 'bad';
  }
};

async function loop() {
  try {
    await refresh();
  } catch (error) {
    $('server').textContent = `the server does not answer: ${error.message}`;
  }
  setTimeout(loop, 1000);
}
loop();
