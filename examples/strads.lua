-- A model-parallel program of one's own: the lasso as schedule, push and pull, in a page of Lua.
-- `luajit examples/strads.lua --help` lists the options. `epact.optim.coordinate` is the same with kernels.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"

local o = epact.command.read {
  about = "Fits a sparse linear model to the progression of diabetes; rows are dealt to workers, columns scheduled.",
  { "lambda", "non_negative", 1000, "l1 penalty" },
  { "phases", "count", 2000, "how often some coefficients are updated" },
  { "together", "count", 4, "coefficients that are updated in a phase" },
  { "depth", "index", 0, "phases under way beyond the one that is computed" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the schedule" },
}

epact.command.main(function()
  local X, y, names = epact.data.csv(root .. "/examples/data/diabetes.csv", { label = 0 })
  local p, lambda, mean = X.cols, o.lambda, 0
  for i = 0, y.rows - 1 do mean = mean + y[i] / y.rows end

  local model = epact.run({ workers = o.workers, seed = o.seed }, function(w)
    local mine, y_mine = w:shard(X, y)
    local x, residual, b, weight = {}, {}, {}, {}
    for i = 0, mine.rows - 1 do x[i], residual[i] = mine:row(i), y_mine[i] - mean end
    for j = 0, p - 1 do b[j], weight[j] = 0, 1 / 0 end -- what was never updated comes first
    local rng, diverged = w:rng(0), false

    -- Variables that moved most, of some that are drawn at random.
    local function schedule()
      if diverged then return false end
      local drawn, chosen = {}, {}
      for j = 0, p - 1 do drawn[j + 1] = j end
      rng:shuffle(drawn)
      for i = 1, 4 * o.together do chosen[i] = drawn[i] end
      table.sort(chosen, function(j, k) return weight[j] > weight[k] end)
      return { unpack(chosen, 1, o.together) }
    end

    -- x_j'r on this worker's rows. (The columns have mean 0 and variance 1.)
    local function push(vars)
      local partial = {}
      for k, j in ipairs(vars) do
        local sum = 0
        for i = 0, mine.rows - 1 do sum = sum + x[i][j] * residual[i] end
        partial[k] = sum
      end
      return partial
    end

    -- b_j <- S(x_j'r + n b_j, lambda) / n, r <- r - x_j (change of b_j).
    local function pull(vars, sum)
      for k, j in ipairs(vars) do
        local z = sum[k - 1] + X.rows * b[j]
        local change = (z > lambda and z - lambda or z < -lambda and z + lambda or 0) / X.rows - b[j]
        b[j], weight[j] = b[j] + change, math.abs(change)
        diverged = diverged or weight[j] > 1e6
        for i = 0, mine.rows - 1 do residual[i] = residual[i] - x[i][j] * change end
      end
    end

    local run = epact.strads(w, { variables = p, schedule = schedule, push = push, pull = pull, batch = o.together,
      depth = o.depth, phases = o.phases })
    if w.id == 0 then print(run) end
    if diverged then return { diverged = true } end

    local total, sum = w:table("objective", { rows = 1, cols = 1, staleness = 0 }), 0
    for i = 0, mine.rows - 1 do sum = sum + residual[i] ^ 2 / 2 end
    total:inc(0, 0, sum)
    w:barrier()
    local objective = total:cell(0, 0)
    for j = 0, p - 1 do objective = objective + lambda * math.abs(b[j]) end
    return { b = b, objective = objective }
  end)

  if require("epact.cluster").place().rank > 0 then return end
  if model.diverged then
    print "diverged: correlated columns overshot; fewer --together, or less --depth"
    return
  end
  for j = 0, p - 1 do
    if model.b[j] ~= 0 then print(("%-20s %12.4f"):format(names[j], model.b[j])) end
  end
  local best = epact.optim.exact.solve(X, y, { loss = "squared", l1 = lambda, intercept = true, tolerance = 1e-10 })
  print(("objective %.9g, at the minimum %.9g"):format(model.objective, best.objective))
end)
