--- Options tables: defaults, types, and an error that suggests the nearest name.
-- @module epact.options

local core = require "epact.core"

local options = {}

local function edit_distance(a, b)
  local previous = {}
  for j = 0, #b do previous[j] = j end
  for i = 1, #a do
    local current = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      current[j] = math.min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost)
    end
    previous = current
  end
  return previous[#b]
end

--- The name of `known` (a map) nearest to `name`, or nil when none is near.
function options.nearest(name, known)
  local best, best_distance = nil, math.max(2, math.floor(#name / 3)) + 1
  for candidate in pairs(known) do
    local distance = edit_distance(name, candidate)
    if distance < best_distance or (distance == best_distance and best and candidate < best) then
      best, best_distance = candidate, distance
    end
  end
  return best
end

--- What a value is, for a message: `3`, `"x"`, `a table`.
function options.show(value)
  local kind = type(value)
  if kind == "string" then return ("%q"):format(value) end
  if kind == "number" or kind == "boolean" or kind == "nil" or kind == "cdata" then return tostring(value) end
  return "a " .. kind
end

local accept = {}
function accept.number(v) return type(v) == "number" and v == v end
function accept.positive(v) return accept.number(v) and v > 0 and v < math.huge end
function accept.non_negative(v) return accept.number(v) and v >= 0 and v < math.huge end
function accept.fraction(v) return accept.number(v) and v >= 0 and v <= 1 end
function accept.integer(v) return accept.number(v) and v % 1 == 0 and v >= -2 ^ 53 and v <= 2 ^ 53 end
function accept.count(v) return accept.integer(v) and v >= 1 end
function accept.index(v) return accept.integer(v) and v >= 0 end
function accept.seconds(v) return accept.number(v) and v > 0 end
function accept.resume(v) return type(v) == "boolean" or v == "if any" or accept.index(v) end
function accept.staleness(v) return v == math.huge or accept.index(v) end
accept["function"] = function(v) return type(v) == "function" end
function accept.string(v) return type(v) == "string" end
function accept.boolean(v) return type(v) == "boolean" end
function accept.table(v) return type(v) == "table" end
function accept.any() return true end

local description = {
  positive = "a positive number", non_negative = "a number >= 0", fraction = "a number in [0, 1]",
  integer = "an integer", count = "an integer >= 1", index = "an integer >= 0",
  staleness = "an integer >= 0 or math.huge", resume = 'true, false, "if any" or the clock of a snapshot',
  seconds = "a number > 0 or inf", any = "anything",
}

local function describe(kind)
  if type(kind) == "table" then return "one of " .. table.concat(kind, ", ") end
  return description[kind] or ("a " .. kind)
end

local function accepts(kind, value)
  if type(kind) == "table" then
    for _, allowed in ipairs(kind) do
      if allowed == value then return true end
    end
    return false
  end
  return assert(accept[kind], kind)(value)
end

--- Raises at the user's line unless `value` is of `kind` (a name of this module, or a list of the allowed values).
-- @treturn any the value
function options.argument(where, name, kind, value)
  if not accepts(kind, value) then
    core.fail("%s: %s must be %s, got %s", where, name, describe(kind), options.show(value))
  end
  return value
end

--- Raises at the user's line unless `w` is a worker: what the function given to `epact.run` gets.
function options.worker(where, w)
  if type(w) ~= "table" or type(w.claim) ~= "function" then
    core.fail("%s: the first argument must be the worker, as in epact.run({}, function(w) ... end), got %s", where,
      options.show(w))
  end
end

--- Reads an options table.
-- @tparam string where the function as the user calls it
-- @tparam ?table given what the user passed (nil: all defaults)
-- @tparam table known name -> `{ kind, default }`; with `required = true` the option must be given
-- @treturn table a new table with every option
function options.read(where, given, known)
  if given == nil then given = {} end
  if type(given) ~= "table" then
    core.fail("%s: the options must be a table, got %s", where, options.show(given))
  end
  for name in pairs(given) do
    if known[name] == nil then
      local near = type(name) == "string" and options.nearest(name, known)
      core.fail("%s: unknown option %s%s", where,
        type(name) == "string" and "'" .. name .. "'" or options.show(name),
        near and (" (did you mean '" .. near .. "'?)") or "")
    end
  end
  local read = {}
  for name, rule in pairs(known) do
    local value = given[name]
    if value == nil then
      if rule.required then core.fail("%s: option '%s' is required (%s)", where, name, describe(rule[1])) end
      value = rule[2]
    elseif not accepts(rule[1], value) then
      core.fail("%s: option '%s' must be %s, got %s", where, name, describe(rule[1]), options.show(value))
    end
    read[name] = value
  end
  return read
end

return options
