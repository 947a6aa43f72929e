import type { Reason } from './pain001.ts';

/** ISO 20022 customer payment status report, as the pretend bank writes it. */
export interface StatusReport {
  /** At most 35 characters. */
  id: string;
  createdAt: string;
  original: { msgId: string; count?: string; controlSum?: string };
  status: string;
  reason?: Reason;
  instructions: { id: string; status: string; reason?: Reason; transfers: TransferStatus[] }[];
}

export interface TransferStatus {
  endToEndId: string;
  instructionId?: string;
  uetr?: string;
  status: string;
  reason?: Reason;
}

/** The report as pain.002.001.10. What is rejected as a whole is given without what is below it: `RJCT` holds for all of that. */
export function writePain002(report: StatusReport): string {
  const { original } = report;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>',
    `<GrpHdr>${element('MsgId', report.id)}${element('CreDtTm', report.createdAt)}</GrpHdr>`,
    '<OrgnlGrpInfAndSts>',
    element('OrgnlMsgId', original.msgId),
    element('OrgnlMsgNmId', 'pain.001.001.09'),
    original.count === undefined ? '' : element('OrgnlNbOfTxs', original.count),
    original.controlSum === undefined ? '' : element('OrgnlCtrlSum', original.controlSum),
    element('GrpSts', report.status),
    reasonElement(report.reason),
    '</OrgnlGrpInfAndSts>',
    ...(report.reason ? [] : report.instructions.map(instructionElement)),
    '</CstmrPmtStsRpt></Document>',
  ].join('');
}

function instructionElement({ id, status, reason, transfers }: StatusReport['instructions'][number]): string {
  return [
    '<OrgnlPmtInfAndSts>',
    element('OrgnlPmtInfId', id),
    element('PmtInfSts', status),
    reasonElement(reason),
    ...(reason ? [] : transfers.map(transferElement)),
    '</OrgnlPmtInfAndSts>',
  ].join('');
}

function transferElement({ endToEndId, instructionId, uetr, status, reason }: TransferStatus): string {
  return [
    '<TxInfAndSts>',
    instructionId === undefined ? '' : element('OrgnlInstrId', instructionId),
    element('OrgnlEndToEndId', endToEndId),
    uetr === undefined ? '' : element('OrgnlUETR', uetr),
    element('TxSts', status),
    reasonElement(reason),
    '</TxInfAndSts>',
  ].join('');
}

function reasonElement(reason: Reason | undefined): string {
  if (!reason) return '';
  return `<StsRsnInf><Rsn>${element('Cd', reason.code)}</Rsn>${element('AddtlInf', reason.text.slice(0, 105))}</StsRsnInf>`;
}

function element(name: string, content: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<${name}>${escaped}</${name}>`;
}
