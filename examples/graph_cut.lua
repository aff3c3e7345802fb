-- Parting a graph by Hogwild!: workers that step on the same memory without locks, against the exact smallest cut.
-- `luajit examples/graph_cut.lua --help` lists the options.

local root = arg[0]:match "^(.*)/examples/[^/]*$" or (arg[0]:find "^examples/" and "." or "..")
package.path = root .. "/lua/?.lua;" .. root .. "/lua/?/init.lua;" .. package.path
package.cpath = root .. "/build/?.so;" .. package.cpath

local epact = require "epact"
local graph_cut = require "epact.model.graph_cut"
local min_cut = require "epact.optim.min_cut"
local progress = require "epact.progress"
local sparsity = require "epact.optim.sparsity"

local karate = root .. "/examples/data/karate.edges"
local o = epact.command.read {
  about = "Parts a graph where its edges are weakest, given some vertices of each part. Without options: a karate club "
    .. "that fell out\nover its teacher (member 0) and its president (member 33), from who met whom before.",
  { "data", "string", karate, "edges: source target [weight], from 0" },
  { "fixed", "string", "0:0,33:1", "vertices that are known: VERTEX:LABEL,..." },
  { "known", "string", "", "where each vertex really went, to compare: a CSV file with a column 'side'" },
  { "step", "positive", 1, "how far the edges of a vertex pull it, in the first epoch" },
  { "decay", "fraction", 0.95, "of the step, an epoch" },
  { "epochs", "count", 300, "passes over the edges, at most" },
  { "tolerance", "non_negative", 1e-4, "relative change of the objective at which to stop" },
  { "workers", "count", require("epact.cluster").workers(), "threads of this process" },
  { "seed", "integer", 1, "of the random numbers" },
  { "out", "string", "", "file for the model" },
}

local function read_fixed(text)
  local fixed = {}
  for word in text:gmatch "[^,]+" do
    local vertex, label = word:match "^%s*(%d+):(%d+)%s*$"
    if not vertex then error(("--fixed: expected VERTEX:LABEL,..., got %q"):format(word), 0) end
    fixed[tonumber(vertex)] = tonumber(label)
  end
  return fixed
end

-- The exact answer, where there is a fast way to it: two labels.
local function exact_cut(edges, fixed)
  local side = { [0] = {}, [1] = {} }
  for vertex, label in pairs(fixed) do
    if label > 1 then return nil end
    table.insert(side[label], vertex)
  end
  if #side[1] == 0 then return nil end
  local begin = os.clock()
  local cut, labels = min_cut(edges, side[0], side[1])
  return cut, labels, os.clock() - begin
end

epact.command.main(function()
  local edges, fixed = epact.data.edges(o.data), read_fixed(o.fixed)
  if o.known == "" and o.data == karate then o.known = root .. "/examples/data/karate.sides.csv" end
  local known, _
  if o.known ~= "" then _, known = epact.data.csv(o.known, { label = "side" }) end
  if known and known.rows ~= edges.vertices then
    error(("%s has %d lines for %d vertices"):format(o.known, known.rows, edges.vertices), 0)
  end
  print(("%d vertices, %s edges, %d workers\n%s\n"):format(edges.vertices, progress.amount(edges.count), o.workers,
    tostring(sparsity.statistics(edges))))

  local model = epact.run({ workers = o.workers, seed = o.seed }, function(w)
    local line = w.id == 0 and progress.new(o.epochs)
    local fitted = graph_cut.fit(w, edges, {
      fixed = fixed, step = o.step, decay = o.decay, epochs = o.epochs, tolerance = o.tolerance,
      on_report = function(now)
        line:step(now.epoch, ("%s edges/s  objective %.6g, cut %g"):format(
          progress.amount(edges.count * now.epoch / now.seconds), now.objective, now.cut))
      end,
    })
    if line then line:done() end
    return fitted
  end)

  local function agreement(labels)
    if not known then return "-" end
    local same, others = 0, {}
    for v = 0, edges.vertices - 1 do
      if labels[v] == known[v] then same = same + 1 else others[#others + 1] = v end
    end
    return ("%d of %d%s"):format(same, edges.vertices,
      #others > 0 and #others <= 5 and ", not " .. table.concat(others, ", ") or "")
  end
  local function row(name, cut, objective, labels)
    print(("%-26s  %10g  %12s  %s"):format(name, cut, objective, agreement(labels)))
  end

  local curve, last = {}, model.history[#model.history]
  for i, now in ipairs(model.history) do curve[i] = now.objective end
  print(("objective by epoch %s\n\n%-26s  %10s  %12s  %s"):format(epact.plot.sparkline(curve), "", "cut",
    "half relaxed", known and "as it happened" or ""))
  local exact, exact_labels, seconds = exact_cut(edges, fixed)
  if exact then row("maximum flow (exact)", exact, "-", exact_labels) end
  row(("Hogwild!, %d workers"):format(o.workers), model.cut, ("%.6g"):format(model.objective / 2), model.labels)
  print(("\n%s after %d epochs, %.3f s, %s edges/s%s"):format(model.status, last.epoch, last.seconds,
    progress.amount(edges.count * last.epoch / last.seconds),
    exact and ("; the exact cut took %.3f s"):format(seconds) or ""))
  if o.out ~= "" then
    model:save(o.out)
    print("model written to " .. o.out)
  end
end)
