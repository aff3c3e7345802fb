--- The lasso on one core, beside glmnet and scikit-learn at the same duality gap: 1e-6 of ||y||^2 / 2, computed outside
-- of the solvers. CPU seconds of one thread, no intercept, no standardising; X lies there by columns for all of them.
-- luajit spec/bench/lasso.lua [file ...]
--
-- Files: libsvm (.svm, .svm.gz), or csv (the first column is y; the columns are standardised and y centred before).
-- Where there is a Python with scikit-learn, also the synthetic syndense (1,000 x 10,000) and synsparse (50,000 x
-- 500,000, 1 M non-zeros). Peers run where scikit-learn, and Rscript with glmnet, are installed. Then: what making the
-- columns takes, a path of 100 penalties against its last one alone, and the memory's speed in a pass over all columns.
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;./spec/?.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local kernel = require "epact.kernel.lasso"
local lasso = require "epact.optim.lasso"
local linear = require "epact.kernel.linear"
local peer = require "support.peer"
local process = require "support.process"
local C = core.C

local python = peer.python()
local has_glmnet = os.execute "Rscript -e 'library(glmnet)' >/dev/null 2>&1" == 0
local quiet = "OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "

local function in_folder(f)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder) == 0)
  f(folder)
  os.execute("rm -rf " .. folder)
end

local function read_array(path, ctype, target)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  if target then ffi.copy(target, text, #text) end
  return #text / ffi.sizeof(ctype)
end

local function write_array(path, pointer, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(ffi.string(pointer, bytes)))
  file:close()
end

--- The columns as a data set, as the peers' script wrote them.
local function read_columns(folder, rows, columns)
  local y = data.new("dense", rows, 1)
  local X
  read_array(folder .. "/y", "double", y.value)
  local dense = io.open(folder .. "/dense")
  if dense then
    dense:close()
    X = data.new("dense", columns, rows)
    read_array(folder .. "/dense", "double", X.value)
  else
    X = data.new("sparse", columns, rows, read_array(folder .. "/index", "uint32_t"))
    read_array(folder .. "/start", "int64_t", X.start)
    read_array(folder .. "/index", "uint32_t", X.index)
    read_array(folder .. "/value", "double", X.value)
  end
  return X:transpose(), y
end

local function write_columns(folder, X, y)
  local columns = X:transpose()
  if data.kind(X) == "dense" then
    write_array(folder .. "/dense", columns.value, 8 * X.rows * X.cols)
  else
    write_array(folder .. "/start", columns.start, 8 * (X.cols + 1))
    write_array(folder .. "/index", columns.index, 4 * X.count)
    write_array(folder .. "/value", columns.value, 8 * X.count)
  end
  write_array(folder .. "/y", y.value, 8 * X.rows)
end

--- Columns of mean 0 and population variance 1, y of mean 0.
local function standardise(X, y)
  local n, p = X.rows, X.cols
  for j = -1, p - 1 do
    local value, at, step = j < 0 and y.value or X.value, math.max(j, 0), j < 0 and 1 or p
    local sum, sum2 = 0, 0
    for i = 0, n - 1 do sum = sum + value[at + i * step] end
    for i = 0, n - 1 do sum2 = sum2 + (value[at + i * step] - sum / n) ^ 2 end
    local scale = j < 0 and 1 or math.sqrt(math.max(sum2 / n, 1e-300))
    for i = 0, n - 1 do value[at + i * step] = (value[at + i * step] - sum / n) / scale end
  end
end

--- The gap relative to ||y||^2 / 2, from the coefficients and the rows.
local function gap_of(X, y, b, l1)
  local n, rr, yr, yy, norm1, largest = X.rows, 0, 0, 0, 0, 0
  local c = linear.zeros(X.cols)
  for i = 0, n - 1 do
    local r = y[i] - X:dot(i, b.value)
    rr, yr, yy = rr + r * r, yr + y[i] * r, yy + y[i] ^ 2
    if data.kind(X) == "dense" then
      linear.axpy(X.cols, r, X:row(i), c)
    else
      local index, value, count = X:row(i)
      for k = 0, count - 1 do c[index[k]] = c[index[k]] + value[k] * r end
    end
  end
  for j = 0, X.cols - 1 do norm1, largest = norm1 + math.abs(b[j]), math.max(largest, math.abs(c[j])) end
  local a = math.min(1, l1 / largest)
  return math.max(0, rr / 2 + l1 * norm1 + a * a / 2 * rr - a * yr) / (yy / 2)
end

--- The fastest of some runs.
local function best_of(times, f)
  local best
  for _ = 1, times do
    local result = f()
    if not best or result.seconds < best.seconds then best = result end
  end
  return best
end

local function run_peer(command)
  local output, found = process.run(quiet .. command, { seconds = 600 }), {}
  for name, value in output:gmatch "([%w_]+) ([%d.e+-]+) ?\n" do found[name] = tonumber(value) end
  return found.seconds and found or nil
end

local function cpu_of(f, times)
  local least = math.huge
  for _ = 1, times do
    local began = C.epact_thread_cpu()
    f()
    least = math.min(least, C.epact_thread_cpu() - began)
  end
  return least
end

--- Bytes of X that a pass over all columns, and a sweep in which nothing moves, read in a second, beside a plain sum.
local function speeds(columns, y)
  local share = kernel.share { columns = columns.keep }
  local bytes = columns.view.start == nil and 8 * columns.rows * columns.columns
    or 12 * tonumber(columns.view.start[columns.columns])
  local certificate = ffi.new "epact_lasso_certificate"
  local pass = cpu_of(function()
    C.epact_lasso_correlations(share.view, 1, 0, share.b, y.value, share.correlation, certificate)
  end, 10)
  for j = 0, columns.columns - 1 do share.active[j] = j end
  share.active_count = columns.columns
  local sweep = cpu_of(function() share:sweep(y.value, 1, 1, 1e300, 0) end, 10)
  local numbers = bytes / 8
  local ones = linear.zeros(numbers)
  local sum = cpu_of(function() linear.dot(numbers / 2, ones, ones + math.floor(numbers / 2)) end, 10)
  return bytes / pass * 1e-9, bytes / sweep * 1e-9, bytes / sum * 1e-9
end

local function bench(name, X, y)
  print(("\n%s: %d x %d"):format(name, X.rows, X.cols))
  local given = { intercept = false, standardise = false }
  local columns
  local making = cpu_of(function() columns = lasso.columns(X, given) end, 3)
  in_folder(function(folder)
    write_columns(folder, X, y)
    for _, share in ipairs { 0.1, 0.01 } do
      local function solve() return lasso.solve(columns, y, { lambda_ratio = share }) end
      local first = best_of(5, solve)
      local sklearn = python and run_peer(("%s -W ignore spec/bench/lasso_peers.py fit %s %g"):format(python, folder,
        share))
      local glmnet = has_glmnet and run_peer(("Rscript spec/bench/lasso_glmnet.R %s %g"):format(folder, share))
      local ours = best_of(5, solve)
      if first.seconds < ours.seconds then ours = first end
      print(("  %-5g P %.10g, %d of %d: Epact %.4f s, gap %.1e"):format(share, ours.objective, ours.nonzeros, X.cols,
        ours.seconds, gap_of(X, y, ours.coefficients, ours.lambda)))
      for peer_name, found in pairs { ["scikit-learn"] = sklearn, glmnet = glmnet or nil } do
        print(("        %s %.4f s, gap %.1e: %.1f times Epact"):format(peer_name, found.seconds, found.gap,
          found.seconds / ours.seconds))
      end
      if share == 0.01 then
        local path = best_of(3, function() return lasso.path(columns, y, { ratio = share }) end)
        print(("        path of %d: %.4f s, %.2f times its last point"):format(#path, path.seconds,
          path.seconds / ours.seconds))
      end
    end
  end)
  print(("  making the columns: %.4f s"):format(making))
  print(("  a pass over all columns reads %.1f GB/s, a sweep %.1f; a plain sum %.1f"):format(speeds(columns, y)))
end

for _, path in ipairs(arg) do
  if path:match "%.csv" then
    local X, y = data.csv(path, { label = 0 })
    standardise(X, y)
    bench(path, X, y)
  else
    bench(path, data.libsvm(path))
  end
end
for _, name in ipairs(python and { "syndense", "synsparse" } or {}) do
  in_folder(function(folder)
    local text = process.run(("%s spec/bench/lasso_peers.py make %s %s"):format(python, name, folder))
    bench(name, read_columns(folder, tonumber(text:match "rows (%d+)"), tonumber(text:match "columns (%d+)")))
  end)
end
