--- Non-negative matrix factorisation on one core: CPU seconds of an epoch, beside scikit-learn's where it is installed.
-- luajit spec/bench/nmf.lua [UCI bag of words] [factors]
--
-- Without a corpus, a synthetic one of a fixed seed in the shape of 20 Newsgroups' 10,000 most frequent words: 18,774 x
-- 10,000, about 2.2 M non-zeros. Both begin with the same factors and make the same updates (HALS; "cd" there).
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local core = require "epact.core"
local data = require "epact.data"
local epact = require "epact"
local kernel = require "epact.kernel.nmf"
local linear = require "epact.kernel.linear"
local nmf = require "epact.model.nmf"
local peer = require "support.peer"
local rng = require "epact.rng"
local C = core.C

local factors, epochs, words = tonumber(arg[2]) or 20, 10, 10000

--- Rows of rising columns and their counts as weights: (1 + log count) log(rows / rows with the word), of norm 1.
local function weigh(rows, cols)
  local with, count = {}, 0
  for _, row in ipairs(rows) do
    for word in pairs(row) do with[word], count = (with[word] or 0) + 1, count + 1 end
  end
  local V, at = data.new("sparse", #rows, cols, count), 0
  for i, row in ipairs(rows) do
    local list, squares, first = {}, 0, at
    for word in pairs(row) do list[#list + 1] = word end
    table.sort(list)
    for _, word in ipairs(list) do
      V.index[at], V.value[at] = word, (1 + math.log(row[word])) * math.log(#rows / with[word])
      squares, at = squares + V.value[at] ^ 2, at + 1
    end
    for e = first, at - 1 do V.value[e] = V.value[e] / math.sqrt(math.max(squares, 1e-300)) end
    V.start[i] = at
  end
  return V
end

local function synthetic()
  local stream, rows = rng(1), {}
  for i = 1, 18774 do
    local row, topic = {}, stream:below(20)
    for _ = 1, 20 + math.floor(100 * math.exp(0.9 * stream:normal())) do
      local word = math.floor(words ^ stream:uniform()) - 1
      if stream:uniform() < 0.5 then word = (word + 487 * topic) % words end
      row[word] = (row[word] or 0) + 1
    end
    rows[i] = row
  end
  return weigh(rows, words)
end

--- The most frequent words of a corpus.
local function read(path)
  local corpus, with, by_number, label, rows = data.corpus(path), {}, {}, {}, {}
  for word = 0, corpus.words - 1 do with[word], by_number[word + 1] = 0, word end
  for e = 0, corpus.pairs - 1 do with[corpus.word[e]] = with[corpus.word[e]] + 1 end
  table.sort(by_number, function(a, b) return with[a] > with[b] or (with[a] == with[b] and a < b) end)
  for i = 1, math.min(words, #by_number) do label[by_number[i]] = i - 1 end
  for d = 0, corpus.documents - 1 do
    local row = {}
    for e = tonumber(corpus.start[d]), tonumber(corpus.start[d + 1]) - 1 do
      local word = label[corpus.word[e]]
      if word then row[word] = corpus.count[e] end
    end
    rows[d + 1] = row
  end
  return weigh(rows, math.min(words, #by_number))
end

local V = arg[1] and arg[1] ~= "" and read(arg[1]) or synthetic()
print(("%s, %d factors, one thread, CPU time"):format(tostring(V), factors))

local summary = kernel.summary("nmf", V)
local matrix = kernel.matrix(V, summary.scale)
local deviation = math.sqrt(summary.sum / V.rows / V.cols / factors)

local W, H = kernel.factor(V.rows, factors), kernel.factor(V.cols, factors)
local product = linear.zeros(H.count, "float")
W:draw(0, 0, deviation, 1)
H:draw(0, 1, deviation, 1)
local W0, H0 = W:dense(1), H:dense(1)

-- The steps of epact.model.nmf with one worker.
local function epoch(rule)
  W:update(matrix, H, H:square(), rule, 1)
  W:multiply(matrix.by_column, product)
  local square = W:square()
  H:update_from(product, square, rule, 1)
  local gram = H:square()
  return (summary.squared_norm * summary.scale ^ 2 / 2 - H:inner(product)
    + linear.dot(factors ^ 2, gram, square) / 2) / summary.scale ^ 2
end

--- Milliseconds of an epoch, the best of some runs, and the objective at the end of one.
local function measure(rule)
  local best, objective = math.huge, nil
  for _ = 1, 3 do
    W:take(W0, 0, summary.scale)
    H:take(H0, 0, 1)
    for _ = 1, epochs do
      local begin = C.epact_thread_cpu()
      objective = epoch(rule)
      best = math.min(best, C.epact_thread_cpu() - begin)
    end
  end
  return best * 1e3, objective
end

local function report(name, milliseconds, objective)
  print(("%-32s %8.1f ms an epoch, objective %.4f after %d"):format(name, milliseconds, objective, epochs))
end

local function flops() return 4 * V.count * factors + 4 * (V.rows + V.cols) * factors ^ 2 end

local python = peer.python()
for rule, solver in pairs { hals = "cd", multiplicative = "mu" } do
  local milliseconds, objective = measure(rule)
  if python then
    local found = peer.run(python, "spec/bench/nmf_sklearn.py", {
      start = { V.start, 8 * (V.rows + 1) }, index = { V.index, 4 * V.count }, value = { V.value, 8 * V.count },
      w = { W0.value, 8 * V.rows * factors }, h = { H0.value, 8 * V.cols * factors },
    }, { factors, epochs, solver })
    milliseconds = math.min(milliseconds, (measure(rule))) -- in alternation
    report("scikit-learn, " .. solver, found.milliseconds, found.objective)
    report(("epact, %s: %.1f times"):format(rule, found.milliseconds / milliseconds), milliseconds, objective)
  else
    report("epact, " .. rule, milliseconds, objective)
  end
  if rule == "hals" then print(("%-32s %8.1f GFLOP/s"):format("", flops() / milliseconds / 1e6)) end
end

-- The model itself, by the clock on the wall: meaningful where the cores are free.
for workers = 1, 2 do
  local history = epact.run({ workers = workers, seed = 1 }, function(w)
    return nmf.fit(w, V, { factors = factors, epochs = 30, tolerance = 0, keep_weights = false }).history
  end)
  print(("%-32s %8.1f ms an epoch, objective %.4f after 30"):format(("model, %d worker%s, wall"):format(workers,
    workers > 1 and "s" or ""), 1e3 * (history[30].seconds - history[5].seconds) / 25, history[30].objective))
end
