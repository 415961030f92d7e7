package option

import (
	"regexp"
	"slices"
	"strings"
)

// EnvironPrefix begins every environment variable that is read.
const EnvironPrefix = "TOMBOLO_"

// environIgnored are variables with our prefix that are no options: the ones
// the command line reads itself.
var environIgnored = []string{"TOMBOLO_CONFIG", "TOMBOLO_ADMIN_SOCKET", "TOMBOLO_API"}

// EnvironName returns the variable that sets an option: upper case with two
// underscores for a dot. Names given by the user are lower case there.
func EnvironName(key string) string {
	return EnvironPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// orchestrated matches what Kubernetes and Docker put into the environment of
// every container when a service is called tombolo or tombolo-something.
var orchestrated = regexp.MustCompile(`^TOMBOLO_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// readEnviron picks the variables with our prefix, in the order of their names.
func readEnviron(t *table, environ []string) (out []Assignment, faults []Fault) {
	environ = slices.Sorted(slices.Values(environ))
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		rest, ok := strings.CutPrefix(name, EnvironPrefix)
		if !ok || slices.Contains(environIgnored, name) {
			continue
		}
		asked := strings.ToLower(strings.ReplaceAll(rest, "__", "."))
		origin := Origin{Kind: FromEnvironment, Name: name}
		o, key := t.canonical(asked, strings.EqualFold)
		switch {
		case o != nil:
			out = append(out, Assignment{Key: key, Value: text, Origin: origin})
		case orchestrated.MatchString(name), strings.HasSuffix(name, "_PORT") && strings.Contains(text, "://"):
		default:
			faults = append(faults, Fault{Origin: origin, Text: t.unknownVariable(asked)})
		}
	}
	return out, faults
}

func (t *table) unknownVariable(asked string) string {
	if near := t.nearest(asked); near != "" {
		return "there is no option " + asked + "; the nearest is " + near + ", which is set by " + EnvironName(near)
	}
	return "there is no option " + asked + "; two underscores stand for a dot; tombolo config doc lists all options"
}
