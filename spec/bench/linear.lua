-- Linear models solved exactly, beside LIBLINEAR and scikit-learn: CPU seconds of one thread, and how far above the
-- lowest objective seen each run ends. The peers take the same rows where /usr/bin/python3 finds python3-sklearn and
-- LIBLINEAR's shared library (Debian: liblinear4); each is run at several tolerances, between two runs of ours.
--
-- `luajit spec/bench/linear.lua [file ...]`: libsvm files (labels: above the median or not) and bags of words named
-- docword... (tf-idf, rows of norm 1; labels: first half of the documents or not). Always: 32,561 x 123 of ones, 14 a
-- row, in correlated groups (the shape of the Adult data a9a), from a seed.
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = (os.getenv "EPACT_BUILD" or "build") .. "/?.so;" .. package.cpath

local epact = require "epact"
local ffi = require "ffi"
local data = require "epact.data"
local exact = require "epact.optim.exact"

local python = "/usr/bin/python3"

--- One of each group's columns, drawn by the row's hidden kind; labels by a logistic model.
local function adult_like(rows, seed)
  local rng, sizes = epact.rng(seed), { 5, 8, 5, 16, 5, 7, 14, 6, 5, 2, 2, 2, 5, 41 }
  local kinds, share, weight = 6, {}, {}
  for kind = 1, kinds do
    share[kind] = {}
    for group, size in ipairs(sizes) do
      local list, sum = {}, 0
      for j = 1, size do list[j], sum = (-math.log(1 - rng:uniform())) ^ 3, 0 end
      for j = 1, size do sum = sum + list[j] end
      for j = 1, size do list[j] = list[j] / sum end
      share[kind][group] = list
    end
  end
  for j = 0, 122 do weight[j] = 0.7 * rng:normal() end
  local X, y, at = data.new("sparse", rows, 123, rows * #sizes), data.new("dense", rows, 1), 0
  for i = 0, rows - 1 do
    local kind, first, score = 1 + rng:below(kinds), 0, -1
    for group, size in ipairs(sizes) do
      local left, j = rng:uniform(), 1
      while j < size and left > share[kind][group][j] do left, j = left - share[kind][group][j], j + 1 end
      X.index[at], X.value[at], at = first + j - 1, 1, at + 1
      first, score = first + size, score + weight[first + j - 1]
    end
    X.start[i + 1], y.value[i] = at, rng:uniform() < 1 / (1 + math.exp(-score)) and 1 or -1
  end
  return X, y
end

local function read_libsvm(path)
  local X, y = data.libsvm(path)
  local sorted, labels = {}, data.new("dense", y.rows, 1)
  for i = 0, y.rows - 1 do sorted[i + 1] = y[i] end
  table.sort(sorted)
  local middle = sorted[math.floor(#sorted / 2)]
  for i = 0, y.rows - 1 do labels[i] = y[i] > middle and 1 or -1 end
  return X, labels
end

local function read_words(path)
  local corpus = data.corpus(path)
  local X = data.new("sparse", corpus.documents, corpus.words, corpus.pairs)
  local y, documents = data.new("dense", corpus.documents, 1), ffi.new("int32_t[?]", corpus.words)
  for k = 0, corpus.pairs - 1 do documents[corpus.word[k]] = documents[corpus.word[k]] + 1 end
  local pair = {}
  for i = 0, corpus.documents - 1 do
    local first, last, norm = tonumber(corpus.start[i]), tonumber(corpus.start[i + 1]) - 1, 0
    for k = first, last do
      local idf = math.log(corpus.documents / documents[corpus.word[k]])
      pair[k - first + 1] = { corpus.word[k], (1 + math.log(corpus.count[k])) * idf }
      norm = norm + pair[k - first + 1][2] ^ 2
    end
    for k = last - first + 2, #pair do pair[k] = nil end
    table.sort(pair, function(a, b) return a[1] < b[1] end)
    for k = first, last do
      X.index[k], X.value[k] = pair[k - first + 1][1], pair[k - first + 1][2] / math.max(1e-300, math.sqrt(norm))
    end
    X.start[i + 1], y[i] = last + 1, i < corpus.documents / 2 and 1 or -1
  end
  return X, y
end

local function write_rows(folder, X, y)
  local function write(name, pointer, bytes)
    local file = assert(io.open(folder .. "/" .. name, "wb"))
    assert(file:write(ffi.string(pointer, bytes)))
    file:close()
  end
  write("start", X.start, (X.rows + 1) * 8)
  write("index", X.index, X.count * 4)
  write("value", X.value, X.count * 8)
  write("label", y.value, X.rows * 8)
end

local function peers(folder, X, o)
  local list = {}
  local command = ("%s spec/bench/linear_peers.py %s %d %s %.17g %.17g 2>/dev/null"):format(python, folder, X.cols,
    o.loss, o.l1 or 0, o.l2 or 0)
  local pipe = io.popen(command)
  for line in pipe:lines() do
    local name, tolerance, seconds, objective = line:match "^(.-)\t(.-)\t(.-)\t(.-)$"
    if name then
      list[#list + 1] = { name = name .. ", tol " .. tolerance, seconds = tonumber(seconds),
        objective = tonumber(objective) }
    end
  end
  pipe:close()
  return list
end

local function ours(X, y, o)
  local best
  for _ = 1, 3 do
    local r = exact.solve(X, y, o)
    if not best or r.seconds < best.seconds then best = r end
    if r.seconds > 1 then break end
  end
  return best
end

local problems = {
  { "L2 logistic", { loss = "logistic", l2 = 1 } }, { "L2 squared hinge", { loss = "squared_hinge", l2 = 0.5 } },
  { "L2 hinge", { loss = "hinge", l2 = 1 } }, { "L1 logistic", { loss = "logistic", l1 = 1 } },
  { "L1 squared hinge", { loss = "squared_hinge", l1 = 0.5 } },
}

local function bench(name, X, y)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  write_rows(folder, X, y)
  print(("\n%s: %d x %d, %d non-zeros"):format(name, X.rows, X.cols, X.count))
  for _, problem in ipairs(problems) do
    local o = problem[2]
    local first = ours(X, y, o)
    local list = peers(folder, X, o)
    local second = ours(X, y, o)
    local own = second.seconds < first.seconds and second or first
    local lowest, fastest = own.objective, math.huge
    for _, run in ipairs(list) do lowest = math.min(lowest, run.objective) end
    print(("  %s: F = %.6f"):format(problem[1], lowest))
    print(("    %-34s %8.4f s  excess %8.1e  gap %.1e  %s"):format("Epact, " .. own.method, own.seconds,
      own.objective / lowest - 1, own.gap / own.objective, own.status))
    for _, run in ipairs(list) do
      local excess = run.objective / lowest - 1
      print(("    %-34s %8.4f s  excess %8.1e"):format(run.name, run.seconds, excess))
      if excess <= 1e-6 then fastest = math.min(fastest, run.seconds) end
    end
    if fastest < math.huge then print(("    fastest peer within 1e-6 / Epact: %.1f"):format(fastest / own.seconds)) end
  end
  os.execute("rm -r " .. folder)
end

bench("groups of ones", adult_like(32561, 7))
for _, path in ipairs(arg) do
  if path:match "docword[^/]*$" then bench(path, read_words(path)) else bench(path, read_libsvm(path)) end
end
