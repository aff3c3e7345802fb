--- Speed of the kernels on one core, in CPU time, best of several: luajit spec/bench/kernels.lua [seconds a line]
--
-- Synthetic data of fixed seeds: ratings shaped like MovieLens-1M (6,040 x 3,706, a million, skewed), sparse rows
-- shaped like text (20,000 x 50,000, 80 entries a row, Zipf-like columns), and their transpose for the lasso.
local build = os.getenv "EPACT_BUILD" or "build"
package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = build .. "/?.so;" .. package.cpath

local ffi = require "ffi"
local core = require "epact.core"
local rng = require "epact.rng"
local C = core.C
local patience = tonumber(arg[1]) or 1

C.epact_blas_single_thread()

--- CPU seconds of the fastest call of f, tried for about `patience` seconds.
local function fastest(f)
  local best, spent = math.huge, 0
  while spent < patience do
    local begin = C.epact_thread_cpu()
    f()
    local seconds = C.epact_thread_cpu() - begin
    best, spent = math.min(best, seconds), spent + seconds
  end
  return best
end

local function report(name, per_second, unit) print(("%-58s %9.1f %s"):format(name, per_second, unit)) end

local function bench_mf()
  local users, items, count, stream = 6040, 3706, 1000209, rng(1)
  local function arrays()
    return ffi.new("uint32_t[?]", count), ffi.new("uint32_t[?]", count), ffi.new("float[?]", count)
  end
  local user, item, value = arrays()
  local label = ffi.new("uint32_t[?]", items)
  for i = 0, items - 1 do label[i] = i end
  C.epact_rng_shuffle(stream, label, items)
  for t = 0, count - 1 do
    user[t] = users * stream:uniform() ^ 1.6
    item[t] = label[math.floor(items * stream:uniform() ^ 2.5)]
    value[t] = 1 + stream:below(5)
  end
  local given = ffi.new("epact_mf_ratings", count, user, item, value)
  local u, i, v = arrays()
  local ratings = ffi.new("epact_mf_ratings", count, u, i, v)
  local user_cut, start = ffi.new("int64_t[2]", { 0, users }), ffi.new "int64_t[9]"
  local function sort(blocks)
    local item_cut = ffi.new("int64_t[?]", blocks + 1)
    for b = 0, blocks do item_cut[b] = math.floor(items * b / blocks) end
    local cuts = ffi.new("epact_mf_cuts", 1, blocks, nil, nil, user_cut, item_cut)
    core.check(C.epact_mf_grid(given, cuts, 0, 1, u, i, v, start))
  end
  report("mf: sort by user", count / fastest(function() sort(1) end) / 1e6, "M ratings/s")
  for _, k in ipairs { 8, 10, 16, 32, 64 } do
    local stride = k + 4
    local p, q = ffi.new("float[?]", users * stride), ffi.new("float[?]", items * stride)
    core.check(C.epact_mf_init(p, 0, users, stride, k, 0, 0.1, 1))
    core.check(C.epact_mf_init(q, 0, items, stride, k, 1, 0.1, 1))
    local model = ffi.new("epact_mf_model", users, items, stride, k, 3, p, q)
    local rates = ffi.new("epact_mf_rates", 1e-3, 0.05, 1e-3, 0.05)
    for _, blocks in ipairs { 1, 8 } do
      sort(blocks)
      local seconds = fastest(function()
        core.check(C.epact_mf_sgd(model, ratings, 0, count, rates, nil))
      end)
      report(("mf: sgd, k = %d, %d block%s of items"):format(k, blocks, blocks > 1 and "s" or ""),
        count / seconds / 1e6, "M ratings/s")
    end
  end
end

local rows, columns, per_row = 20000, 50000, 80

--- rows x columns, `per_row` distinct rising columns in each row, columns of low number frequent.
local function text_like(real)
  local stream = rng(2)
  local start, index = ffi.new("int64_t[?]", rows + 1), ffi.new("uint32_t[?]", rows * per_row)
  local value = ffi.new(real, rows * per_row)
  local e = 0
  for i = 0, rows - 1 do
    local taken, list = {}, {}
    while #list < per_row do
      local j = math.floor(columns ^ stream:uniform()) - 1
      if not taken[j] then taken[j], list[#list + 1] = true, j end
    end
    table.sort(list)
    for _, j in ipairs(list) do index[e], value[e], e = j, stream:normal(), e + 1 end
    start[i + 1] = e
  end
  return start, index, value
end

local function bench_sgd()
  local start, index, value = text_like "double[?]"
  local label, direction = ffi.new("double[?]", rows), ffi.new("double[?]", columns)
  local settled = ffi.new("double[?]", columns)
  local order, stream = ffi.new("uint32_t[?]", rows), rng(3)
  for i = 0, rows - 1 do label[i], order[i] = stream:uniform() < 0.5 and -1 or 1, i end
  C.epact_rng_shuffle(stream, order, rows)
  local x = ffi.new("epact_rows", rows, columns, start, index, value)
  for _, case in ipairs { { "hinge", C.EPACT_HINGE, 0 }, { "logistic", C.EPACT_LOGISTIC, 0 },
    { "logistic, l1", C.EPACT_LOGISTIC, 1e-6 } } do
    local state = ffi.new("epact_sgd_state", direction, settled, nil, 1)
    local rule = ffi.new("epact_sgd_rule", { case[2], 1 }, 0.01, 0, 0, case[3], 1e-4, -math.huge, math.huge, 1, 0, 0)
    local seconds = fastest(function() core.check(C.epact_sgd(x, label, order, 0, rows, rule, state)) end)
    report("sgd epoch: " .. case[1], rows * per_row / seconds / 1e6, "M non-zeros/s")
  end
end

local function bench_lasso_sparse()
  -- The text-like rows, read as columns.
  local start, index, value = text_like "double[?]"
  local n, p = columns, rows
  local x = ffi.new("epact_columns", n, p, start, index, value)
  local norm2, mean, scale = ffi.new("double[?]", p), ffi.new("double[?]", p), ffi.new("double[?]", p)
  C.epact_columns_moments(x, mean, scale)
  for _, standardized in ipairs { false, true } do
    x.mean, x.inverse_scale = standardized and mean or nil, standardized and scale or nil
    C.epact_columns_squared_norm(x, norm2)
    local b, r, change = ffi.new("double[?]", p), ffi.new("double[?]", n), ffi.new "double[1]"
    local stream = rng(4)
    for i = 0, n - 1 do r[i] = stream:normal() end
    local name = standardized and ", standardised" or ""
    local function sweep(l1) core.check(C.epact_lasso_sweep(x, nil, 0, 1, l1, 0, norm2, b, r, change)) end
    report("lasso: sparse sweep, nothing moves" .. name, p * per_row / fastest(function() sweep(1e9) end) / 1e6,
      "M non-zeros/s")
    report("lasso: sparse sweep, everything moves" .. name, p * per_row / fastest(function() sweep(0) end) / 1e6,
      "M non-zeros/s")
  end
end

local function bench_lasso_dense()
  local n, p = 1000, 5000
  local value, stream = ffi.new("double[?]", n * p), rng(5)
  for e = 0, n * p - 1 do value[e] = stream:normal() end
  local x = ffi.new("epact_columns", n, p, nil, nil, value)
  local norm2, b, r = ffi.new("double[?]", p), ffi.new("double[?]", p), ffi.new("double[?]", n)
  for i = 0, n - 1 do r[i] = stream:normal() end
  C.epact_columns_squared_norm(x, norm2)
  local change, copy = ffi.new "double[1]", ffi.new("double[?]", n * p)
  local seconds = fastest(function()
    core.check(C.epact_lasso_sweep(x, nil, 0, 1, 1e9, 0, norm2, b, r, change))
  end)
  report("lasso: dense sweep 1000 x 5000, nothing moves", n * p * 8 / seconds / 1e9, "GB/s")
  report("memcpy of the same matrix, read and written",
    2 * n * p * 8 / fastest(function() ffi.copy(copy, value, n * p * 8) end) / 1e9, "GB/s")
end

bench_mf()
bench_sgd()
bench_lasso_sparse()
bench_lasso_dense()
