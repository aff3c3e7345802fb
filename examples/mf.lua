-- Predicting ratings by matrix factorisation with biases (stochastic gradient descent): data-parallel through a table,
-- by rotating blocks (DSGD), without locks (Hogwild!), or by coordinate descent, a factor at a time (CCD++).
-- `luajit examples/mf.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local mf = require "epact.model.mf"
local progress = require "epact.progress"

local o = epact.command.read {
  about = "Learns to predict ratings. Without options: what students of ETH Zurich gave their lecturers.",
  { "data", "string", root .. "/examples/data/insteval.tr.txt.gz", "ratings to learn from: user item rating, from 0" },
  { "test", "string", "", "ratings to predict (default: the data's name with .te. for .tr.)" },
  { "factors", "index", 8, "numbers that describe a user and an item, beside their biases" },
  { "lambda", "non_negative", 0.05, "weight of the penalty, for each rating" },
  { "step", "positive", 0.005, "of the first epoch (ccd has none)" },
  { "decay", "positive", 0.95, "of the step, an epoch (ccd has none)" },
  { "epochs", "count", 20, "passes over the ratings" },
  { "order", "string", "shards", "shards (items in a table), rotation (of blocks), hogwild (one process), ccd" },
  { "clocks", "count", 16, "clocks an epoch, of shards" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "seed", "integer", 1, "of the random numbers" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
  { "snapshot", "string", "", "directory for snapshots, from which --resume goes on" },
  { "snapshot-every", "count", 100, "clocks between two snapshots" },
  { "resume", "flag", false, "go on from the last snapshot, if there is one" },
  { "stats", "flag", false, "print what each table counted" },
  { "out", "string", "", "file for the model, see mf.load" },
}

epact.command.main(function()
  if o.resume and o.snapshot == "" then error("--resume needs --snapshot DIR", 0) end
  local ratings = epact.data.ratings(o.data)
  if o.test == "" then
    local beside = o.data:gsub("%.tr%.", ".te.")
    local file = beside ~= o.data and io.open(beside)
    if file then
      file:close()
      o.test = beside
    end
  end
  local test = o.test ~= "" and epact.data.ratings(o.test, { users = ratings.users, items = ratings.items }) or nil
  if o.deterministic then o.staleness = 0 end
  local steps = o.order ~= "ccd"
  print(("%d users, %d items, %s ratings; %d factors, %d workers, %s"):format(ratings.users, ratings.items,
    progress.amount(ratings.count), o.factors, o.workers,
    o.order == "shards" and "staleness " .. tostring(o.staleness) or o.order))

  -- Root mean squared error of always saying the mean rating: what there is to beat.
  local function spread(of)
    local sum, squares = 0, 0
    for t = 0, ratings.count - 1 do sum = sum + ratings.value[t] end
    for t = 0, of.count - 1 do squares = squares + (of.value[t] - sum / ratings.count) ^ 2 end
    return math.sqrt(squares / of.count)
  end

  local function train(factors, snapshot)
    return epact.run({ workers = o.workers, staleness = o.staleness, seed = o.seed, deterministic = o.deterministic,
      resume = snapshot and o.resume and "if any", snapshot = snapshot },
      function(w)
        local line = w.id == 0 and progress.new(o.epochs)
        local model = mf.fit(w, ratings, {
          factors = factors, lambda = o.lambda, step = steps and o.step or nil, decay = steps and o.decay or nil,
          epochs = o.epochs, clocks = steps and o.clocks or nil, order = o.order, test = test, on_divergence = "keep",
          on_report = function(now)
            line:step(now.epoch, ("%s ratings/s  RMSE %.4f%s"):format(
              progress.amount(ratings.count * now.epoch / now.seconds), now.train,
              now.test and (", test %.4f"):format(now.test) or ""))
          end,
        })
        if line then line:done() end
        return model
      end)
  end

  local model, report = train(o.factors, o.snapshot ~= "" and { every = o.snapshot_every, dir = o.snapshot } or nil)
  local biases = train(0)
  if require("epact.cluster").place().rank > 0 then return end -- every process has the model; one speaks
  if model.failure then io.stderr:write(model.failure, "; the last good model is kept\n") end

  local function row(name, run)
    local last = run.history[#run.history]
    if not last then return nil end
    print(("%-24s  %10.4f  %10s"):format(name, last.train, last.test and ("%.4f"):format(last.test) or "-"))
    return last
  end
  local curve = {}
  for i, now in ipairs(model.history) do curve[i] = now.test or now.train end
  print(("\nRMSE by epoch %s\n\n%-24s  %10s  %10s"):format(epact.plot.sparkline(curve), "", "training", "test"))
  print(("%-24s  %10.4f  %10s"):format("the mean rating", spread(ratings),
    test and ("%.4f"):format(spread(test)) or "-"))
  row("biases alone", biases)
  local last = row(("biases and %d factors"):format(o.factors), model)
  print("\n" .. tostring(model))
  if last then
    local items = report.tables["mf.items"] -- none where the items are plain memory
    print(("%.3f s to prepare, %.2f s to train, %s ratings/s%s"):format(model.preparation_seconds, last.seconds,
      progress.amount(ratings.count * last.epoch / last.seconds),
      items and (", the workers waited %.2f s"):format(items.wait_seconds) or ""))
  end
  if o.out ~= "" then
    model:save(o.out)
    print("model written to " .. o.out)
  end
  if o.stats then print(report) end
  if model.failure then os.exit(1) end
end)
