-- The lasso and the elastic net by coordinate descent, the columns dealt to workers, through the parameter server; or
-- (--path) a whole path of penalties on one core.
-- `luajit examples/lasso.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local lasso = require "epact.optim.lasso"

local o = epact.command.read {
  about = "Fits a sparse linear model. Without options: the progression of diabetes by 64 measurements and products.",
  { "data", "string", root .. "/examples/data/diabetes.csv", "a table with a line of names, or a libsvm file (*.svm)" },
  { "label", "string", "", "column to be explained, of a table (default: the first)" },
  { "lambda", "non_negative", nil, "l1 penalty, in the sum form (glmnet's lambda times the number of rows)" },
  { "ratio", "non_negative", 0.1, "or this part of the smallest penalty that makes all coefficients 0" },
  { "l2", "non_negative", 0, "l2 penalty" },
  { "raw", "flag", false, "do not standardise the columns" },
  { "no-intercept", "flag", false, "the model goes through the origin" },
  { "tolerance", "positive", 1e-6, "of the duality gap, in units of the objective without a model" },
  { "max-sweeps", "count", 10000, "at most" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "staleness", "staleness", 1, "clocks a worker may run ahead (0: BSP, async)" },
  { "seed", "integer", 1, "of the random numbers: coordinate descent needs none" },
  { "deterministic", "flag", false, "same bits for any placement of the workers (staleness 0)" },
  { "exact", "flag", false, "print coefficients with all digits" },
  { "path", "flag", false, "a hundred penalties instead of one, on one core" },
  { "stats", "flag", false, "print what each table counted" },
}

epact.command.main(function()
  local X, y, names
  if o.data:find "%.svm" or o.data:find "%.libsvm" then
    X, y = epact.data.libsvm(o.data)
  else
    X, y, names = epact.data.csv(o.data, { label = o.label ~= "" and o.label or 0 })
  end
  if o.path then
    local path = lasso.path(X, y, { l2 = o.l2, standardise = not o.raw, intercept = not o.no_intercept,
      tolerance = o.tolerance })
    print(path)
    print(("%.3f s of CPU"):format(path.seconds))
    return
  end
  if o.deterministic then o.staleness = 0 end
  print(("%d rows, %d columns; %d workers, staleness %s"):format(X.rows, X.cols, o.workers, tostring(o.staleness)))

  local model, report = epact.run({ workers = o.workers, staleness = o.staleness, seed = o.seed,
    deterministic = o.deterministic }, function(w)
    local line = w.id == 0 and epact.progress.new(o.max_sweeps)
    local model = lasso.fit(w, X, y, {
      lambda = o.lambda, lambda_ratio = o.ratio, l2 = o.l2, standardise = not o.raw, intercept = not o.no_intercept,
      tolerance = o.tolerance, max_sweeps = o.max_sweeps,
      on_report = function(now)
        line:step(now.sweeps, ("objective %.6g  gap %.2g  %d coefficients"):format(now.objective, now.gap,
          now.nonzeros))
      end,
    })
    if line then line:done() end
    return w.id == 0 and model or nil
  end)
  if not model then return end -- worker 0 is in another process

  local number = o.exact and "%24.17g" or "%14.6f"
  if model.nonzeros == 0 then
    print(("\nlambda %g is not below %g, from where on all coefficients are 0"):format(model.lambda, model.lambda_max))
  end
  print(("\n%-20s " .. number):format("intercept", model.intercept))
  for j = 0, X.cols - 1 do
    if model.coefficients[j] ~= 0 then
      print(("%-20s " .. number):format(names and names[j] or "column " .. j, model.coefficients[j]))
    end
  end
  local curve, last = {}, model.history[#model.history]
  for i, now in ipairs(model.history) do curve[i] = math.log10(math.max(now.gap, 1e-300)) end
  print(("\nlambda %.6g of %.6g, %d coefficients; log10 of the gap %s"):format(model.lambda, model.lambda_max,
    model.nonzeros, epact.plot.sparkline(curve)))
  local residual = report.tables["lasso.residual"]
  print(("%s after %d clocks, %.3f s: objective %.10g, gap %.2g, damping %g"):format(model.status, model.sweeps,
    last.seconds, model.objective, last.gap, last.damping))
  print(("staleness observed: mean %.2f, max %d"):format(residual.staleness_mean, residual.staleness_max))
  if o.stats then print(report) end
end)
