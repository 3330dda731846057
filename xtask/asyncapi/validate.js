// Prints what the parser of AsyncAPI says of the document that is named. Errors fail; remarks do not.
import { readFileSync } from 'node:fs';
import { Parser } from '@asyncapi/parser';

const ERROR = 0;

const found = await new Parser().validate(readFileSync(process.argv[2], 'utf8'));
for (const { code, message, path, severity } of found) {
  console.log(`${severity === ERROR ? 'error' : 'remark'}: ${path.join('.')}: ${message} (${code})`);
}
process.exit(found.some(({ severity }) => severity === ERROR) ? 1 : 0);
