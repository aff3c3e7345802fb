-- Which genes tell leukaemia of B cells from that of T cells: a sparse model of many correlated columns and few rows,
-- by scheduled coordinate descent. `luajit examples/genes.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"

local o = epact.command.read {
  about = "Fits a sparse logistic model to expressions of genes, and compares orders of the coordinates.",
  { "data", "string", root .. "/examples/data/leukemia.csv.gz", "a table with a line of names, the label first" },
  { "ratio", "positive", 0.2, "l1, as a part of the smallest one that makes all coefficients 0" },
  { "loss", "string", "logistic", "or squared, squared_hinge, smoothed_hinge" },
  { "orders", "string", "cyclic,shotgun,greedy,dynamic", "of these, separated by commas" },
  { "parallel", "index", 8, "genes that are updated together (0: as each order chooses)" },
  { "rho", "positive", 0.5, "of the order dynamic: genes that correlate less may be updated together" },
  { "depth", "index", 0, "phases under way beyond the one that is computed" },
  { "tolerance", "positive", 1e-5, "of the duality gap, in units of the objective without a model" },
  { "test", "count", 4, "every so manieth patient is left out for the test" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the random orders" },
}

-- The rows of which `chosen` is true.
local function take(X, y, chosen)
  local rows = {}
  for i = 0, X.rows - 1 do
    if chosen(i) then rows[#rows + 1] = i end
  end
  local part, label = epact.data.new("dense", #rows, X.cols), epact.data.new("dense", #rows, 1)
  for k, i in ipairs(rows) do
    local row = X:row(i)
    for j = 0, X.cols - 1 do part.value[(k - 1) * X.cols + j] = row[j] end
    label.value[k - 1] = y[i] > 0 and 1 or -1
  end
  return part, label
end

-- The share of rows on whose side the model is.
local function accuracy(model, X, y)
  local right = 0
  for i = 0, X.rows - 1 do
    local t, row = model.intercept, X:row(i)
    for j = 0, X.cols - 1 do t = t + row[j] * model.coefficients.value[j] end
    if t * y[i] > 0 then right = right + 1 end
  end
  return right / X.rows
end

epact.command.main(function()
  local X, y, names = epact.data.csv(o.data, { label = 0 })
  local train, train_y = take(X, y, function(i) return i % o.test ~= 0 end)
  local test, test_y = take(X, y, function(i) return i % o.test == 0 end)
  print(("%d patients to learn from, %d to test, %d genes; %d workers"):format(train.rows, test.rows, X.cols,
    o.workers))

  local found
  print(("\n%-9s %9s %8s %8s  %-11s %s"):format("order", "updates", "phases", "seconds", "", "log10 of the gap"))
  for order in o.orders:gmatch "[%w_]+" do
    local model = epact.run({ workers = o.workers, seed = o.seed }, function(w)
      return epact.optim.coordinate.fit(w, train, train_y, {
        order = order, loss = o.loss, lambda_ratio = o.ratio, tolerance = o.tolerance, rho = o.rho, depth = o.depth,
        parallel = o.parallel > 0 and o.parallel or nil, every = math.ceil(X.cols / 4),
      })
    end)
    local curve, last = {}, model.history[#model.history]
    for i, now in ipairs(model.history) do curve[i] = math.log10(math.max(now.gap, 1e-300)) end
    print(("%-9s %9d %8d %8.3f  %-11s %s"):format(order, model.updates, model.phases, last.phase_seconds, model.status,
      epact.plot.sparkline(curve, 24)))
    found = model
  end

  local chosen = {}
  for j = 0, X.cols - 1 do
    if found.coefficients.value[j] ~= 0 then chosen[#chosen + 1] = j end
  end
  table.sort(chosen, function(j, k)
    return math.abs(found.coefficients.value[j]) > math.abs(found.coefficients.value[k])
  end)
  print(("\n%d genes; the first of them:"):format(#chosen))
  for i = 1, math.min(10, #chosen) do
    print(("  %-14s %10.4f"):format(names[chosen[i]], found.coefficients.value[chosen[i]]))
  end
  local majority = accuracy({ intercept = 1, coefficients = epact.data.new("dense", X.cols, 1) }, test, test_y)
  print(("\n%-28s %8s"):format("right on patients left out", ""))
  print(("%-28s %7.1f %%"):format("always B cells", 100 * majority))
  print(("%-28s %7.1f %%"):format(("%d genes"):format(#chosen), 100 * accuracy(found, test, test_y)))
end)
