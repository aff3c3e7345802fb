-- Spam or not: logistic regression, the support vector machine and multinomial regression on the same mails, by
-- stochastic gradient descent and exactly, and with --report what theory promises of stale reads.
-- `luajit examples/spam.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local core = require "epact.core"
local exact = require "epact.optim.exact"
local logistic = require "epact.model.logistic"
local multinomial = require "epact.model.multinomial"
local progress = require "epact.progress"
local sgd = require "epact.optim.sgd"
local step = require "epact.optim.step"
local svm = require "epact.model.svm"

local o = epact.command.read {
  about = "Learns to tell spam from mail. Without options: the 4,601 mails of Spambase.",
  { "data", "string", root .. "/examples/data/spam.csv.gz", "numbers in columns, one of which is the label 'spam'" },
  { "features", { "log", "plain" }, "log", "log(1 + x) or x; standardised in both cases" },
  { "test", "fraction", 0.2, "share of the mails to test on" },
  { "l2", "non_negative", 1, "weight of the penalty" },
  { "epochs", "count", 30, "passes over the data, of stochastic gradient descent" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "seed", "integer", 1, "of the split, and of the order of the rows" },
  { "words", "count", 10, "how many words to show for either side" },
  { "report", "flag", false, "print regret and suboptimality beside the theorems' bounds, with the SSP step" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
}

-- Rows of the data in the order of `rows`, from `first` to `last`.
local function take(X, y, rows, first, last)
  local part, label = epact.data.new("dense", last - first, X.cols), epact.data.new("dense", last - first, 1)
  for i = 0, last - first - 1 do
    local from = rows[first + i + 1]
    label.value[i] = y[from]
    for j = 0, X.cols - 1 do
      local x = X.value[from * X.cols + j]
      part.value[i * X.cols + j] = o.features == "log" and math.log(1 + x) or x
    end
  end
  return part, label
end

-- Every column of both gets the mean 0 and the deviation 1 of what is learned from.
local function standardise(train, test)
  for j = 0, train.cols - 1 do
    local sum, squares = 0, 0
    for i = 0, train.rows - 1 do sum = sum + train.value[i * train.cols + j] end
    local mean = sum / train.rows
    for i = 0, train.rows - 1 do squares = squares + (train.value[i * train.cols + j] - mean) ^ 2 end
    local deviation = math.sqrt(squares / train.rows)
    for _, part in ipairs { train, test } do
      for i = 0, part.rows - 1 do
        local at = i * part.cols + j
        part.value[at] = deviation > 0 and (part.value[at] - mean) / deviation or 0
      end
    end
  end
end

-- Fits a model, all workers together; its seconds are those of the fit.
local function fit(name, module, X, y, given)
  local begin = core.C.epact_now()
  local model = epact.run({ workers = o.workers, seed = o.seed, deterministic = o.deterministic,
    staleness = o.deterministic and 0 or o.staleness }, function(w)
    local line, options = w.id == 0 and given.epochs and progress.new(given.epochs), {}
    for option, value in pairs(given) do options[option] = value end
    options.on_report = line and function(now)
      line:step(now.epoch, ("%s: objective %.2f"):format(name, now.objective))
    end or nil
    local model = module.fit(w, X, y, options)
    if line then line:done() end
    return w.id == 0 and model or nil
  end)
  return model, core.C.epact_now() - begin
end

-- What the theorems on stale reads promise for this job, and what it does: steps of the theorem, every worker's counted
-- in full, against the exact minimum.
local function report(X, y)
  local signs = epact.data.new("dense", y.rows, 1)
  for i = 0, y.rows - 1 do signs.value[i] = 2 * y[i] - 1 end
  local best = exact.solve(X, signs, { loss = "logistic", l2 = o.l2, tolerance = 1e-10 })
  local norm2 = 0
  for j = 0, X.cols - 1 do norm2 = norm2 + best.weights[j] ^ 2 end
  local F = math.sqrt(norm2) -- twice as far as the minimum is from the start: 1/2 ||w - w*||^2 <= F^2
  local found = epact.run({ workers = o.workers, seed = o.seed, deterministic = o.deterministic,
    staleness = o.deterministic and 0 or o.staleness }, function(w)
    return sgd.minimise(w, X, signs, { loss = "logistic", l2 = o.l2, epochs = o.epochs, tolerance = 0, combine = "sum",
      clocks = 32, step = step.ssp { F = F }, report = true, reference = { weights = best.weights } })
  end)
  if found then print(("\nlogistic loss by the step of the SSP theorem\n%s"):format(tostring(found.theory))) end
end

-- The share of right answers, ham that was called spam, spam that was not; as a line of the table.
local function judge(name, guess, y, seconds, objective)
  local alarms, misses, ham = 0, 0, 0
  for i = 0, y.rows - 1 do
    ham = ham + (y[i] == 0 and 1 or 0)
    if guess(i) and y[i] == 0 then alarms = alarms + 1 end
    if not guess(i) and y[i] == 1 then misses = misses + 1 end
  end
  print(("%-32s %12s  %7.2f %%  %5d (%4.1f %%)  %5d (%4.1f %%)  %8s"):format(name,
    objective and ("%.4f"):format(objective) or "-", 100 - 100 * (alarms + misses) / y.rows, alarms,
    100 * alarms / math.max(1, ham), misses, 100 * misses / math.max(1, y.rows - ham),
    seconds and ("%.3f"):format(seconds) or "-"))
end

-- Words by weight, the heaviest first.
local function show_words(weights, names)
  local order = {}
  for j = 0, weights.rows - 1 do order[j + 1] = j end
  table.sort(order, function(a, b) return weights[a] > weights[b] end)
  local function word(j) return (names[j] or "column " .. j):gsub("^word_freq_", ""):gsub("^char_freq_", "") end
  print(("\n%-38s  %s"):format("says spam", "says mail"))
  for k = 1, math.min(o.words, math.floor(#order / 2)) do
    local high, low = order[k], order[#order + 1 - k]
    print(("%-28s %9.3f  %-28s %9.3f"):format(word(high), weights[high], word(low), weights[low]))
  end
end

epact.command.main(function()
  local all_X, all_y, names = epact.data.csv(o.data, { label = "spam", header = true })
  local rows, cut = {}, math.floor(all_X.rows * (1 - o.test))
  if cut < 1 or cut == all_X.rows then error("--test must leave mails to learn from and mails to test on", 0) end
  for i = 1, all_X.rows do rows[i] = i - 1 end
  epact.rng(o.seed):shuffle(rows)
  local X, y = take(all_X, all_y, rows, 0, cut)
  local test_X, test_y = take(all_X, all_y, rows, cut, all_X.rows)
  standardise(X, test_X)
  print(("%d mails to learn from, %d to test on, %d columns; l2 %g, %d workers, staleness %s"):format(X.rows,
    test_X.rows, X.cols, o.l2, o.workers, tostring(o.deterministic and 0 or o.staleness)))

  -- Two classes of multinomial regression need twice the l2 for the same answer as logistic regression.
  local found = {}
  for _, case in ipairs {
    { "logistic regression, SGD", logistic, { l2 = o.l2, epochs = o.epochs } },
    { "logistic regression, exact", logistic, { l2 = o.l2, solver = "exact" } },
    { "support vector machine, SGD", svm, { l2 = o.l2, epochs = o.epochs } },
    { "support vector machine, exact", svm, { l2 = o.l2, solver = "exact" } },
    { "squared hinge loss, exact", svm, { l2 = o.l2, solver = "exact", loss = "squared_hinge" } },
    { "multinomial regression, SGD", multinomial, { l2 = 2 * o.l2, epochs = o.epochs } },
    { "multinomial regression, L-BFGS", multinomial, { l2 = 2 * o.l2, solver = "batch" } },
  } do
    local model, seconds = fit(case[1], case[2], X, y, case[3])
    if not model then return end -- worker 0 is in another process
    found[#found + 1] = { name = case[1], guesses = model:predict(test_X), seconds = seconds, model = model }
  end

  print(("\n%-32s %12s  %9s  %14s  %14s  %8s"):format("", "objective", "accuracy", "false alarms", "misses", "seconds"))
  local spam = 0
  for i = 0, y.rows - 1 do spam = spam + y[i] end
  judge("always the more frequent", function() return spam > y.rows / 2 end, test_y)
  for _, one in ipairs(found) do
    judge(one.name, function(i) return one.guesses[i] == 1 end, test_y, one.seconds,
      one.model.objective)
  end
  show_words(found[1].model.weights, names or {})
  if o.report then report(X, y) end
end)
